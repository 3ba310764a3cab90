"""Axes: R rows, B batch, I fan-in, O fan-out, C outputs."""

import numpy as np
import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.base.rule import sent_up
from fabench.learning_rule.contrastive_hebbian import ContrastiveHebbian
from fabench.population.population import Row
from fabench.run.parsing import parse
from fabench.run.trainer import population_of
from fabench.schema import UserError
from fabench.task.base import LOSSES


def rule(**settings):
    defaults = {"gamma": 0.7, "dt": 0.5, "steps": 200}
    return ContrastiveHebbian(name="contrastive_hebbian", **defaults | settings)


def part_of(net, loss="sigmoid_cross_entropy"):
    return HandPart(net.layers, objective=LOSSES[loss], **vars(net.weights))


def targets(net, loss):
    """One-hot for a softmax, whose y has sum 1."""
    softmax = loss == "softmax_cross_entropy"
    return torch.eye(net.y.shape[2]).double()[net.y[..., 0].long()] if softmax else net.y


def test_two_steps_follow_a_loop_over_units(draw_network):
    """4-3-2-2, tanh, sigmoid outputs: example by example, in NumPy."""
    net, dt, gamma = draw_network((4, 3, 2, 2), "tanh", bias=True), 0.3, 0.7
    part = part_of(net)
    free = rule(dt=dt, gamma=gamma, steps=2).learn(part, net.x, net.y)

    for r in range(3):
        W = [w[r].numpy() for w in net.weights.W]
        b = [v[r, 0].numpy() for v in net.weights.b]
        dW, db = [np.zeros_like(w) for w in W], [np.zeros_like(v) for v in b]

        def arrives(k, s, W=W, b=b):  # at layer k, s[k] being the layer below
            return np.array([
                b[k][j] + sum(s[k][i] * W[k][i, j] for i in range(len(s[k])))
                for j in range(len(b[k]))
            ])  # fmt: skip

        for n in range(4):
            s = [net.x[r, n].numpy()]
            s.append(np.tanh(arrives(0, s)))
            s.append(np.tanh(arrives(1, s)))
            a = arrives(2, s)
            states = []
            for clamped in (False, True):
                for _ in range(2):
                    top = net.y[r, n].numpy() if clamped else 1 / (1 + np.exp(-a))
                    one = np.tanh(arrives(0, s) + gamma * W[1] @ s[2])
                    two = np.tanh(arrives(1, s) + gamma * W[2] @ top)
                    a = a + dt * (arrives(2, s) - a)
                    s = [s[0], s[1] + dt * (one - s[1]), s[2] + dt * (two - s[2])]
                if not clamped:
                    np.testing.assert_allclose(free[r, n], a, rtol=1e-10)
                top = net.y[r, n].numpy() if clamped else 1 / (1 + np.exp(-a))
                states.append([*s, top])
            minus, plus = states
            for k in range(3):
                scale = gamma ** (k + 1 - 3) / 4  # a batch of four
                hebb = np.outer(minus[k], minus[k + 1]) - np.outer(plus[k], plus[k + 1])
                dW[k] += scale * hebb
                db[k] += scale * (minus[k + 1] - plus[k + 1])
        for k in range(3):
            found_W, found_b = (part.descended[f"{kind}{k}"][0][r] for kind in "Wb")
            np.testing.assert_allclose(found_W, dW[k], rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(found_b[0], db[k], rtol=1e-9, atol=1e-12)


def gradients(net, loss):
    """Of the loss's batch mean, by autograd, of every weight and bias."""
    leaves = [
        [tensor.clone().requires_grad_() for tensor in own]
        for own in (net.weights.W, net.weights.b)
    ]
    h = net.x
    for k, (W, b) in enumerate(zip(*leaves, strict=True)):
        a = h @ W + b
        h = torch.tanh(a) if k < len(net.layers) - 1 else a
    (LOSSES[loss].value(a, targets(net, loss)).sum() / net.x.shape[1]).backward()
    return {f"{kind}{k}": t.grad for kind, own in zip("Wb", leaves, strict=True)
            for k, t in enumerate(own)}  # fmt: skip


@pytest.mark.parametrize(
    "loss", ["sigmoid_cross_entropy", "softmax_cross_entropy", "squared_error"]
)
@pytest.mark.parametrize("widths", [(6, 2), (6, 5, 2), (6, 5, 4, 2)], ids=str)
def test_weak_feedback_descends_the_gradient(draw_network, widths, loss):
    """The relative error falls in proportion to gamma; without hidden layers there is none."""
    net = draw_network(widths, "tanh", bias=True)
    expected, errors = gradients(net, loss), {}
    for gamma in (1e-2, 1e-3, 1e-4):
        part = part_of(net, loss)
        rule(gamma=gamma).learn(part, net.x, targets(net, loss))
        assert part.descended.keys() == expected.keys()
        for name, g in expected.items():
            error = (part.descended[name][0] - g).norm() / g.norm()
            errors.setdefault(name, []).append(error.item())
    for first, second, third in errors.values():
        if len(widths) == 2:
            assert max(first, second, third) < 1e-10
        else:
            assert first < 0.1
            assert second / third == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_what_the_network_predicts_itself_teaches_nothing(draw_network, gamma):
    net = draw_network((6, 5, 4, 2), "sigmoid", bias=True)
    part = part_of(net)
    own = rule(gamma=gamma)
    y = part.prediction(own.outputs(part, net.x))
    own.learn(part, net.x, y)
    assert len(part.descended) == 6
    for g, rate in part.descended.values():
        assert g.abs().max() < 1e-9
        assert rate == 1
    other = part_of(net)
    own.learn(other, net.x, net.y)
    assert all(g.abs().max() > 1e-3 for g, _ in other.descended.values())


def test_its_answer_is_the_free_state(draw_network):
    net = draw_network((6, 5, 4, 2), "sigmoid", bias=True)
    part, own = part_of(net), rule()
    free = own.relax(part, sent_up(part, 0, net.x))
    assert torch.equal(own.outputs(part, net.x), free[-1])
    assert (free[-1] - part.forward(net.x).output).abs().max() > 1e-3  # feedback counts


def test_rows_have_their_own_gain_and_step(make_config):
    """All rows of a small network are computed at once; alone each does the same."""
    config = make_config(
        learning_rule="contrastive_hebbian", task="classification", model__activation="tanh",
        model__hidden=[6, 5], k=1,
    )  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(1, 9, 64, generator=rng), torch.eye(10)[torch.arange(9)][None]
    numbers = [(1.0, 0.5), (0.2, 0.5), (0.2, 0.9)]
    rows = [
        Row(0, config.scalars() | {"learning_rule.gamma": gamma, "learning_rule.dt": dt})
        for gamma, dt in numbers
    ]
    together = population_of(config, rows, torch.device("cpu"))
    assert together.together
    together.step(x, y.expand(3, -1, -1))
    for r, row in enumerate(rows):
        alone = population_of(config, [row], torch.device("cpu"))
        alone.step(x, y)
        for name, w in alone.trained().items():
            torch.testing.assert_close(together.trained()[name][r], w[0], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(*together.trained()["W0"][:2], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "convnet"}, "is not defined for convolutions"),
        ({"model__hidden_dropout": 0.1}, "is not defined for dropout"),
        ({"model__input_dropout": 0.1}, "is not defined for dropout"),
        ({"trainer__adversarial": 0.1}, "sends no error back to the inputs"),
        ({"learning_rule__dt": 1.5}, r"^learning_rule\.dt=1\.5: "),
        ({"learning_rule__gamma": 0.0}, r"^learning_rule\.gamma=0\.0: "),
        ({"learning_rule__steps": 0}, r"^learning_rule\.steps=0: "),
    ],
    ids=str,
)
def test_what_it_refuses(make_raw, settings, message):
    raw = make_raw(learning_rule="contrastive_hebbian", k=1, **settings)
    with pytest.raises(UserError, match=message):
        parse(raw)
