"""Oracle: modules as torch's functions, their losses by torch.autograd, in float64.

Axes: R rows, B batch, I fan-in, O fan-out. Layers are counted from 0.
"""

import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.synthetic_gradients import SyntheticGradients
from fabench.model.layer.initialization import InitOfB
from fabench.population.population import Row
from fabench.randomness import generator
from fabench.run.trainer import population_of

F = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "linear": lambda a: a}
every_activation = pytest.mark.parametrize("activation", F)
every_depth = pytest.mark.parametrize("widths", [(6, 5, 2), (6, 5, 4, 3, 2)], ids=str)
every_module = pytest.mark.parametrize("hidden", [[], [7], [7, 6]], ids=str)
every_condition = pytest.mark.parametrize("conditioned", [True, False], ids=["label", "no label"])


def dni(hidden=(), conditioned=True, targets="bootstrapped", probability=1.0):
    return SyntheticGradients(
        "synthetic_gradients", list(hidden), conditioned, targets, probability, 0.5
    )


def part_of(net, rule):
    """A part with random modules."""
    table = rule.parameters(net.layers, InitOfB("uniform", 1.0))
    own = {
        kind: [net.normal(3, *table[f"{kind}{n}"].shape) for n in range(len(table) // 2)]
        for kind in "Mm"
    }
    assert sum(map(len, own.values())) == len(table)
    return HandPart(net.layers, lambda stream, shape: net.normal(3, *shape),
                    **vars(net.weights), **own)  # fmt: skip


def module(parameters, x, y=None):
    """What a module predicts, given its (M, m) pairs."""
    x = x if y is None else torch.cat([x, y], 2)
    for n, (M, m) in enumerate(parameters):
        x = x @ M + m
        x = x.relu() if n < len(parameters) - 1 else x
    return x


@every_condition
@every_module
@every_activation
@every_depth
def test_signals_are_predictions(draw_network, widths, activation, hidden, conditioned):
    net, rule = draw_network(widths, activation, bias=True), dni(hidden, conditioned)
    part, e, depth = part_of(net, rule), net.y - 0.5, len(hidden) + 1
    passed = part.forward(net.x)
    deltas = rule.teaching_signals(e, net.y, passed, part)
    assert torch.equal(deltas[len(widths) - 2], e)
    for layer in range(len(widths) - 2):
        own = [(part[f"M{n}"], part[f"m{n}"]) for n in range(layer * depth, (layer + 1) * depth)]
        a = passed.a[layer].clone().requires_grad_()
        g = module(own, passed.h[layer + 1], net.y if conditioned else None)
        (F[activation](a) * g).sum().backward()  # g f'(a)
        torch.testing.assert_close(deltas[layer], a.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("targets", ["bootstrapped", "backpropagated"])
@every_condition
@every_module
@every_activation
@every_depth
def test_modules_descend_autograd_of_their_losses(
    draw_network, widths, activation, hidden, conditioned, targets
):
    net, rule = draw_network(widths, activation, bias=True), dni(hidden, conditioned, targets)
    part, e, last, depth = part_of(net, rule), net.y - 0.5, len(widths) - 2, len(hidden) + 1
    passed = part.forward(net.x)
    deltas = rule.teaching_signals(e, net.y, passed, part)
    rule.adapt_to_targets(part, passed, e, net.y, dict(deltas))
    assert len(part.descended) == 2 * last * depth
    for layer in range(last):
        h = passed.h[layer + 1].clone().requires_grad_()
        a, f = h, F[activation]
        for n in range(layer + 1, last + 1):
            a = (f(a) if n > layer + 1 else a) @ net.weights.W[n] + net.weights.b[n]
            if targets == "bootstrapped":
                break
        (a * (deltas[layer + 1] if targets == "bootstrapped" else e)).sum().backward()
        names = range(layer * depth, (layer + 1) * depth)
        own = [tuple(part[f"{k}{n}"].clone().requires_grad_() for k in "Mm") for n in names]
        g = module(own, passed.h[layer + 1], net.y if conditioned else None)
        (((g - h.grad) ** 2).sum() / 4).backward()
        for n, (M, m) in zip(names, own, strict=True):
            found, rate = part.descended[f"M{n}"]
            assert rate == 0.5
            assert M.grad.any()
            torch.testing.assert_close(found, M.grad, rtol=1e-9, atol=1e-11)
            found, _ = part.descended[f"m{n}"]
            torch.testing.assert_close(found.double(), m.grad, rtol=1e-5, atol=1e-5)


def test_the_last_layer_of_a_module_starts_at_zero(draw_network):
    net = draw_network((6, 5, 4, 2))
    table = dni([7]).parameters(net.layers, InitOfB("uniform", 1.0))
    assert {name: p.shape for name, p in table.items() if name[0] == "M"} == {
        "M0": (7, 7), "M1": (7, 5), "M2": (6, 7), "M3": (7, 4),
    }  # fmt: skip
    drawn = {name: p.draw(generator(0, p.stream)) for name, p in table.items()}
    assert drawn["M0"].any() and drawn["M2"].any()
    assert not any(drawn[name].any() for name in ("M1", "M3", "m0", "m1", "m2", "m3"))


@pytest.fixture
def configure(make_config):
    def make(**settings):
        base = {
            "learning_rule": "synthetic_gradients", "model__hidden": [12, 8], "k": 1,
            "model__activation": "tanh", "model__bias": True, "optimizer__lr": 0.05,
        }  # fmt: skip
        return make_config(**{**base, **settings})

    return make


def batch(R, N=64):
    x = torch.randn(R, N, 64, generator=torch.Generator().manual_seed(0))
    return x, (x[..., :1] > 0).float()


def population(config, rows):
    return population_of(config, [Row(s, config.scalars() | own) for s, own in rows],
                         torch.device("cpu"))  # fmt: skip


def test_layers_are_taught_at_random_and_apart(configure):
    """By plain descent what is not taught stays; a module needs the layer above it."""
    key = "learning_rule.update_probability"
    people = population(configure(), [(0, {key: 0.3}), (0, {key: 1.0}), (1, {key: 0.3})])
    x, y = batch(2)
    y = y[[0, 0, 1]]
    for _ in range(30):  # now modules are not 0
        people.step(x, y)
    moved = []
    for _ in range(120):
        before = {name: tensor.clone() for name, tensor in people.tensors.items()}
        people.step(x, y)
        changes = {n: (t != before[n]).flatten(1).any(1) for n, t in people.tensors.items()}
        moved.append(torch.stack([changes[f"W{n}"] for n in range(3)]))
        assert torch.equal(changes["b0"], changes["W0"])
        assert torch.equal(changes["M0"], changes["W1"])
        assert torch.equal(changes["m1"], changes["W2"])
    share = torch.stack(moved).double()  # [steps, layers, rows]
    assert (share[..., 1] == 1).all()
    assert ((share[..., [0, 2]].mean(0) - 0.3).abs() < 0.15).all()
    assert not torch.equal(share[:, 0, 0], share[:, 1, 0])
    assert not torch.equal(share[:, 0, 0], share[:, 0, 2])


@every_condition
def test_predictions_come_to_the_gradient(configure, conditioned):
    """Of weights that hardly move."""
    config = configure(
        optimizer="adam", optimizer__lr=1e-6, learning_rule__feedback_rate=1e4,
        learning_rule__conditioned=conditioned,
    )  # fmt: skip
    people = population(config, [(0, {}), (1, {})])
    x, y = batch(2)
    for _ in range(120):
        people.step(x, y)
    part = people.part(slice(None))
    passed = part.forward(x)
    e = part.error(passed.output, y)
    deltas = part.rule.teaching_signals(e, y, passed, part)
    exact = passed.carry(e, {n: people.tensors[f"W{n}"].mT for n in (1, 2)})
    for layer in (0, 1):
        cosine = torch.cosine_similarity(deltas[layer], exact[layer], 2).mean(1)
        assert (cosine > (0.9 if conditioned else 0.2)).all()
