"""Oracles: derivatives of the energy, written out once more; the loss's gradient through the free
phase, by autograd; two steps as a loop over units.

Axes: R rows, B batch, I fan-in, O fan-out, C outputs.
"""

import numpy as np
import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.base.rule import sent_up
from fabench.learning_rule.equilibrium_propagation import EquilibriumPropagation
from fabench.population.population import Row
from fabench.run.parsing import parse
from fabench.run.trainer import population_of
from fabench.schema import UserError
from fabench.task.base import LOSSES

NAMES = ["sigmoid_cross_entropy", "softmax_cross_entropy", "squared_error"]
SIGNS = torch.tensor([1.0, -1.0, 1.0]).double()[:, None, None]
F = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}


def rule(**settings):
    defaults = {"beta": 0.3, "nudging": "random", "dt": 0.5, "steps": 300, "nudged_steps": 300}
    return EquilibriumPropagation(name="equilibrium_propagation", **defaults | settings)


def part_of(net, loss="sigmoid_cross_entropy"):
    """Its runs draw the signs +, -, +."""
    noise = lambda stream, shape: 0.7 * SIGNS.expand(-1, *shape)  # noqa: E731
    return HandPart(net.layers, noise, LOSSES[loss], **vars(net.weights))


@pytest.fixture
def small(draw_network):
    """Networks whose weights are small enough to settle."""

    def draw(widths, activation, loss="sigmoid_cross_entropy"):
        net = draw_network(widths, activation, bias=True)
        for W in net.weights.W:
            W.mul_(0.3)
        if loss == "softmax_cross_entropy":
            net.y = torch.eye(widths[-1]).double()[net.y[..., 0].long()]
        return net

    return draw


G = {  # the integral of the activation's inverse
    "sigmoid": lambda s: s * s.log() + (1 - s) * (1 - s).log(),
    "tanh": lambda s: s * s.atanh() + (1 - s * s).log() / 2,
    "softmax": lambda s: s * s.log(),  # of sum 1
    "linear": lambda s: s * s / 2,
}
OUTPUTS = {
    "sigmoid_cross_entropy": ("sigmoid", torch.sigmoid),
    "softmax_cross_entropy": ("softmax", lambda u: u.softmax(-1)),
    "squared_error": ("linear", lambda u: u),
}


def energy(net, W, b, states, loss):
    """E of every run and example, summed, and C [R, B]: (1), (2)."""
    last, predicts = OUTPUTS[loss]
    names = [*(layer.activation for layer in net.layers[:-1]), last]
    E, below = 0, net.x
    for w, c, s, name in zip(W, b, [*states[:-1], predicts(states[-1])], names, strict=True):
        E = E + G[name](s).sum() - (s * c).sum() - torch.einsum("rbi,rio,rbo->", below, w, s)
        below = s
    return E, (below - net.y).square().sum(-1) / 2


@pytest.mark.parametrize(
    ("activation", "loss"), [("sigmoid", NAMES[0]), ("tanh", NAMES[1]), ("tanh", NAMES[2])]
)
def test_states_are_stationary_and_updates_are_the_energys(small, activation, loss):
    net = small((6, 5, 4, 2), activation, loss)
    part, own = part_of(net, loss), rule()
    drive = sent_up(part, 0, net.x)
    free = own.relax(part, drive)
    driven = own.relax(part, drive, free, net.y)
    assert max((s - t).abs().max() for s, t in zip(free, driven, strict=True)) > 1e-2
    gradients = []
    for states, beta in ((free, 0 * SIGNS), (driven, 0.3 * SIGNS)):
        s = [state.clone().requires_grad_() for state in states]
        W, b = ([t.clone().requires_grad_() for t in own] for own in (net.weights.W, net.weights.b))
        E, C = energy(net, W, b, s, loss)
        for g in torch.autograd.grad(E + (beta[..., 0] * C).sum(), s, retain_graph=True):
            assert g.abs().max() < 1e-9
        gradients.append(torch.autograd.grad(E, [*W, *b]))
    own.learn(part, net.x, net.y)
    names = [f"{kind}{k}" for kind in "Wb" for k in range(3)]
    assert set(part.descended) == set(names)
    for name, before, after in zip(names, *gradients, strict=True):
        expected = (after - before) / (0.3 * SIGNS) / net.x.shape[1]
        torch.testing.assert_close(part.descended[name][0], expected, rtol=1e-8, atol=1e-11)


def gradients(net, loss):
    """Of the batch mean of the free state's C, through the steps to it."""
    W, b = ([t.clone().requires_grad_() for t in own] for own in (net.weights.W, net.weights.b))
    f, (_, g) = F[net.layers[0].activation], OUTPUTS[loss]
    s = [torch.zeros(3, 4, w.shape[2]).double() for w in W]
    for _ in range(300):
        below = [net.x, *s[:-1]]
        a = [h @ w + c for h, w, c in zip(below, W, b, strict=True)]
        back = [t @ w.mT for t, w in zip([*s[1:-1], g(s[-1])], W[1:], strict=len(W) > 1)]
        goal = [*(f(up + down) for up, down in zip(a, back, strict=False)), a[-1]]
        s = [(old + new) / 2 for old, new in zip(s, goal, strict=True)]
    ((g(s[-1]) - net.y).square().sum() / 2 / net.x.shape[1]).backward()
    return {f"{kind}{k}": t.grad for kind, own in zip("Wb", (W, b), strict=True)
            for k, t in enumerate(own)}  # fmt: skip


@pytest.mark.parametrize(
    ("widths", "activation", "loss"),
    [
        ((6, 2), "tanh", NAMES[2]),
        ((6, 5, 2), "sigmoid", NAMES[1]),
        ((6, 5, 4, 2), "tanh", NAMES[0]),
    ],
    ids=str,
)
def test_as_the_nudge_vanishes_updates_go_to_the_gradient(small, widths, activation, loss):
    """The relative error falls as beta, of symmetric nudging as its square."""
    net = small(widths, activation, loss)
    expected = gradients(net, loss)
    for nudging, power in (("random", 1), ("symmetric", 2)):
        errors = {}
        for beta in (0.1, 0.01, 0.001):
            part = part_of(net, loss)
            rule(beta=beta, nudging=nudging).learn(part, net.x, net.y)
            assert part.descended.keys() == expected.keys()
            for name, g in expected.items():
                error = (part.descended[name][0] - g).norm() / g.norm()
                errors.setdefault(name, []).append(error.item())
        for first, second, third in errors.values():
            assert first < 0.3
            assert second / third == pytest.approx(10**power, rel=0.1)


def test_two_steps_follow_a_loop_over_units(small):
    """4-3-2-2: run by run, example by example, in NumPy; the second run's nudge is negative."""
    net, dt, beta = small((4, 3, 2, 2), "tanh"), 0.3, 0.4
    part = part_of(net)
    free = rule(dt=dt, beta=beta, steps=2, nudged_steps=1).learn(part, net.x, net.y)
    for r in range(3):
        W = [w[r].numpy() for w in net.weights.W]
        b = [v[r, 0].numpy() for v in net.weights.b]
        dW, signed = [np.zeros_like(w) for w in W], beta * SIGNS[r].item()
        for n in range(4):
            x, y = net.x[r, n].numpy(), net.y[r, n].numpy()
            one = np.tanh(x @ W[0] + b[0])
            two = np.tanh(one @ W[1] + b[1])
            u, states = two @ W[2] + b[2], []
            for phase, steps in ((0.0, 2), (signed, 1)):
                for _ in range(steps):
                    to_one = np.tanh(x @ W[0] + b[0] + W[1] @ two)
                    out = 1 / (1 + np.exp(-u))
                    to_two = np.tanh(one @ W[1] + b[1] + W[2] @ out)
                    to_u = two @ W[2] + b[2] - phase * (out - y)
                    one, two, u = (s + dt * (to - s) for s, to in ((one, to_one), (two, to_two),
                                                                   (u, to_u)))  # fmt: skip
                states.append([x, one, two, 1 / (1 + np.exp(-u))])
                if not phase:
                    np.testing.assert_allclose(free[r, n], u, rtol=1e-10)
            for k in range(3):
                s, t = states
                dW[k] += (np.outer(s[k], s[k + 1]) - np.outer(t[k], t[k + 1])) / signed / 4
        for k in range(3):
            np.testing.assert_allclose(part.descended[f"W{k}"][0][r], dW[k], rtol=1e-9, atol=1e-12)


def test_rows_have_their_own_nudge_step_and_sign(make_config):
    """All rows of a small network are computed at once; alone each does the same."""
    config = make_config(
        learning_rule="equilibrium_propagation", task="classification", k=1,
        model__activation="sigmoid", model__hidden=[6, 5], learning_rule__nudging="random",
    )  # fmt: skip
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(1, 9, 64, generator=rng), torch.eye(10)[torch.arange(9)][None]
    numbers = [(0, 0.5, 0.5), (1, 0.5, 0.5), (2, 0.1, 0.5), (2, 0.1, 0.9)]
    rows = [
        Row(seed, config.scalars() | {"learning_rule.beta": beta, "learning_rule.dt": dt})
        for seed, beta, dt in numbers
    ]
    together = population_of(config, rows, torch.device("cpu"))
    assert together.together
    part = together.part(slice(None))
    signs = set()
    for t in range(1, 9):
        part.begin(t)
        nudge = part.rule.nudge(part).flatten()
        torch.testing.assert_close(nudge.abs(), torch.tensor([0.5, 0.5, 0.1, 0.1]))
        assert nudge[2] == nudge[3]  # one seed, one sign
        signs.add(tuple(nudge.sign().tolist()))
    assert len(signs) > 2
    together.step(x.expand(3, -1, -1), y.expand(4, -1, -1))
    for r, row in enumerate(rows):
        alone = population_of(config, [row], torch.device("cpu"))
        alone.step(x, y)
        for name, w in alone.trained().items():
            torch.testing.assert_close(together.trained()[name][r], w[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "convnet"}, "is not defined for convolutions"),
        ({"model__hidden_dropout": 0.1}, "is not defined for dropout"),
        ({"learning_rule__nudging": "negative"}, r"^learning_rule\.nudging=negative: "),
        ({"learning_rule__beta": 0.0}, r"^learning_rule\.beta=0\.0: "),
    ],
    ids=str,
)
def test_what_it_refuses(make_raw, settings, message):
    raw = make_raw(learning_rule="equilibrium_propagation", k=1, **settings)
    with pytest.raises(UserError, match=message):
        parse(raw)
