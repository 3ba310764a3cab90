"""Oracles: a loop over units; autograd where feedback is weak; contrastive Hebbian learning.

Axes: R rows, B batch, I fan-in, O fan-out, C outputs.
"""

import numpy as np
import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.contrastive_hebbian import ContrastiveHebbian
from fabench.learning_rule.generec import Generec
from fabench.population.population import Row
from fabench.run.parsing import parse
from fabench.run.trainer import population_of
from fabench.schema import UserError
from fabench.task.base import LOSSES

VARIANTS = ["generec", "midpoint", "symmetric"]
LOSS = LOSSES["sigmoid_cross_entropy"]


def learned(net, variant, V, **settings):
    """What descends, and the answer."""
    rule = Generec(name="generec", variant=variant, **{"dt": 0.5, "steps": 200} | settings)
    own = {} if variant == "symmetric" else {"V": V}
    part = HandPart(net.layers, objective=LOSS, **vars(net.weights), **own)
    output = rule.learn(part, net.x, net.y)
    assert all(rate == 1 for _, rate in part.descended.values())
    return {name: g for name, (g, _) in part.descended.items()}, output


def transposed(net, gain=1.0):
    return [gain * W.mT for W in net.weights.W[1:]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_steps_follow_a_loop_over_units(draw_network, variant):
    """4-3-2-2, tanh, sigmoid outputs: example by example, in NumPy."""
    net, dt = draw_network((4, 3, 2, 2), "tanh", bias=True), 0.3
    own = transposed(net) if variant == "symmetric" else [net.normal(3, 2, 3), net.normal(3, 2, 2)]
    found, free = learned(net, variant, own, dt=dt, steps=2)
    assert len(found) == (6 if variant == "symmetric" else 8)
    for r in range(3):
        W = [w[r].numpy() for w in net.weights.W]
        b = [v[r, 0].numpy() for v in net.weights.b]
        V = [v[r].numpy() for v in own]
        dW, dV, db = ([np.zeros_like(m) for m in kind] for kind in (W, V, b))
        for n in range(4):
            x, y = net.x[r, n].numpy(), net.y[r, n].numpy()
            one = np.tanh(x @ W[0] + b[0])
            two = np.tanh(one @ W[1] + b[1])
            a, states = two @ W[2] + b[2], []
            for clamped in (False, True):
                for _ in range(2):
                    top = y if clamped else 1 / (1 + np.exp(-a))
                    to_one = np.tanh(x @ W[0] + b[0] + two @ V[0])
                    to_two = np.tanh(one @ W[1] + b[1] + top @ V[1])
                    to_a = two @ W[2] + b[2]
                    one, two, a = (s + dt * (to - s) for s, to in ((one, to_one), (two, to_two),
                                                                   (a, to_a)))  # fmt: skip
                if not clamped:
                    np.testing.assert_allclose(free[r, n], a, rtol=1e-10)
                states.append([x, one, two, y if clamped else 1 / (1 + np.exp(-a))])
            minus, plus = states
            changes = [(dW[k], k, k + 1) for k in range(3)] + [
                (dV[k], k + 2, k + 1) for k in (0, 1)
            ]
            for dM, sender, receiver in changes:
                for i in range(dM.shape[0]):
                    for j in range(dM.shape[1]):
                        si, ti = minus[sender][i], plus[sender][i]
                        sj, tj = minus[receiver][j], plus[receiver][j]
                        dM[i, j] += {
                            "generec": si * (sj - tj),
                            "midpoint": (si + ti) / 2 * (sj - tj),
                            "symmetric": 2 * si * sj - si * tj - ti * sj,
                        }[variant] / 4
            for k in range(3):
                db[k] += (minus[k + 1] - plus[k + 1]) / 4
        for kind, expected in (("W", dW), ("V", dV), ("b", db)):
            for k, value in enumerate(expected):
                if (kind, variant) != ("V", "symmetric"):
                    actual = found[f"{kind}{k}"][r].squeeze(0)
                    np.testing.assert_allclose(actual, value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("variant", ["generec", "midpoint"])
def test_weak_feedback_brings_every_layer_the_gradient(draw_network, variant):
    """Of the cross-entropy, times gamma for every layer on the way; errors fall as gamma does."""
    net, errors = draw_network((6, 5, 4, 2), "tanh", bias=True), {}
    W, b = ([t.clone().requires_grad_() for t in own] for own in (net.weights.W, net.weights.b))
    h = net.x
    for k in range(3):
        a = h @ W[k] + b[k]
        h = torch.tanh(a)
    (LOSS.value(a, net.y).sum() / 4).backward()
    for gamma in (1e-3, 1e-4):
        found, _ = learned(net, variant, transposed(net, gamma))
        for k in range(3):
            for name, g in ((f"W{k}", W[k].grad), (f"b{k}", b[k].grad)):
                error = (found[name] / gamma ** (2 - k) - g).norm() / g.norm()
                errors.setdefault(name, []).append(error.item())
    for first, second in errors.values():
        assert first < 0.05
        assert first / second == pytest.approx(10, rel=0.1)


def test_midpoint_of_both_directions_is_contrastive_hebbian_learning(draw_network):
    net = draw_network((6, 5, 4, 2), "sigmoid", bias=True)
    part = HandPart(net.layers, objective=LOSS, **vars(net.weights))
    ContrastiveHebbian(name="", gamma=1.0, dt=0.5, steps=200).learn(part, net.x, net.y)
    found, _ = learned(net, "midpoint", transposed(net))
    for k in range(3):
        both = found[f"W{k}"] + (found[f"V{k - 1}"].mT if k else 0)
        torch.testing.assert_close(both, part.descended[f"W{k}"][0], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found[f"b{k}"], part.descended[f"b{k}"][0])


def test_feedback_starts_as_the_transposed_weights_and_learns(make_config):
    config = make_config(learning_rule="generec", model__hidden=[6, 5], k=1)
    rows = [Row(s, config.scalars() | {"model.weight_scale": c}) for s, c in ((0, 1.0), (1, 0.5))]
    people = population_of(config, rows, torch.device("cpu"))
    for v, w in zip(people.matrices("V"), people.matrices("W")[1:], strict=True):
        assert torch.equal(v, w.mT)
    people.step(torch.randn(2, 8, 64), torch.ones(2, 8, 1))
    for v, w in zip(people.matrices("V"), people.matrices("W")[1:], strict=True):
        assert (v != w.mT).any((1, 2)).all()
    assert {"V0", "V1"} <= people.snapshot(slice(None)).keys()
    symmetric = make_config(
        learning_rule="generec", learning_rule__variant="symmetric", model__hidden=[6, 5], k=1
    )
    assert population_of(symmetric, rows, torch.device("cpu")).matrices("V") == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "convnet"}, "is not defined for convolutions"),
        ({"model__input_dropout": 0.1}, "is not defined for dropout"),
        ({"learning_rule__variant": "chl"}, r"^learning_rule\.variant=chl: "),
    ],
    ids=str,
)
def test_what_it_refuses(make_raw, settings, message):
    raw = make_raw(learning_rule="generec", k=1, **settings)
    with pytest.raises(UserError, match=message):
        parse(raw)
