"""Plain loops do the work of fabench's rules: equal weights after the same batches."""

import pytest
import torch

from fabench.command.bench import loops
from fabench.command.bench.loops import LOOPS
from fabench.command.bench.networks import batch, population


def trained(make_config, rule, steps=3, **settings):
    """A population of two networks and their loops, after so many steps on one batch."""
    config = make_config(
        task="classification", learning_rule=rule, model__bias=True, trainer__batch_size=8,
        optimizer__lr=0.1, trainer__precision="fp32", optimizer="sgd", **settings,
    )  # fmt: skip
    people = population(config, 2)
    before = [people.tensors["W0"].clone(), people.tensors["W1"].clone()]
    each = [LOOPS[rule](people, row) for row in (0, 1)]
    x, y = batch(config, torch.device("cpu"))
    for _ in range(steps):
        people.step(x.expand(2, -1, -1), y.expand(2, -1, -1))
        for loop in each:
            loop.step(x[0], y[0])
    assert not any(torch.equal(w, people.tensors[f"W{n}"]) for n, w in enumerate(before))
    return people, each


def assert_same(people, each):
    for row, loop in enumerate(each):
        for kind, own in (("W", loop.W), ("b", loop.b), ("B", loop.V), ("c", loop.c)):
            for number, w in enumerate(own):
                expected = people.tensors[f"{kind}{number}"][row].view_as(w)
                torch.testing.assert_close(w, expected, rtol=1e-3, atol=1e-5)


def test_difference_target_propagation(make_config):
    deep = {"model__hidden": [6, 5, 4], "model__activation": "tanh"}
    without_noise = {"learning_rule__noise": 0.0, "learning_rule__feedback_rate": 2.0}
    people, each = trained(make_config, "difference_target_propagation", **deep, **without_noise)
    for loop in each:  # they are modules' parameters
        loop.W = [layer.weight.detach().T for layer in loop.layers]
        loop.b = [layer.bias.detach() for layer in loop.layers]
        loop.V = [layer.weight.detach().T for layer in loop.inverses]
        loop.c = [layer.bias.detach() for layer in loop.inverses]
    assert_same(people, each)


def test_equilibrium_propagation(make_config):
    deep = {"model__hidden": [6, 5], "model__activation": "tanh"}
    assert_same(*trained(make_config, "equilibrium_propagation", **deep))


def test_contrastive_divergence(make_config, monkeypatch):
    """Both draw the likelier of two bits, and the likeliest class."""
    monkeypatch.setattr(torch, "bernoulli", torch.round)
    monkeypatch.setattr(torch, "multinomial", lambda p, n: p.argmax(1, keepdim=True))
    rule = "fabench.learning_rule.contrastive_divergence"
    monkeypatch.setattr(f"{rule}.bits", lambda part, stream, p: p.round())
    monkeypatch.setattr(
        f"{rule}.one_of",
        lambda part, stream, a: torch.nn.functional.one_hot(a.argmax(-1), a.shape[-1]).float(),
    )
    settings = {"model__hidden": [6], "model__activation": "sigmoid", "dataset__scaling": "unit"}
    people, each = trained(
        make_config, "contrastive_divergence", learning_rule__objective="generative", **settings
    )
    assert_same(people, each)
    for row, loop in enumerate(each):
        torch.testing.assert_close(loop.v, people.tensors["v0"][row, 0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("rule", LOOPS)
def test_a_loop_draws_anew_in_every_step(rule, make_config):
    """But for equilibrium propagation, whose nudging is symmetric."""
    machine = rule == "contrastive_divergence"
    settings = {"model__hidden": [6] if machine else [6, 5]}
    settings["model__activation"] = "sigmoid" if machine else "tanh"
    if machine:
        settings |= {"learning_rule__objective": "generative", "dataset__scaling": "unit"}
    torch.manual_seed(0)
    _, each = trained(make_config, rule, steps=1, **settings)
    torch.manual_seed(1)
    _, others = trained(make_config, rule, steps=1, **settings)

    def own(loop):
        inverses = [layer.weight for layer in getattr(loop, "inverses", [])]
        return [*loop.W, *inverses]

    pairs = list(zip(own(each[0]), own(others[0]), strict=True))
    same = all(torch.equal(a, b) for a, b in pairs)
    assert same == (LOOPS[rule] is loops.Equilibrium)
