"""Oracles: a loop over units; autograd where activities hardly change.

Axes: R rows, B batch, I fan-in, O fan-out.
"""

import json

import numpy as np
import pytest
import torch
from by_hand import HandPart

from fabench.command import cli
from fabench.learning_rule.recirculation import Recirculation
from fabench.run.parsing import parse
from fabench.schema import UserError
from fabench.task.base import LOSSES

ENCODER = {"learning_rule": "recirculation", "dataset": "encoder", "task": "reconstruction"}


def learned(net, regression, loss="sigmoid_cross_entropy"):
    """What descends, and the answer."""
    part = HandPart(net.layers, objective=LOSSES[loss], **vars(net.weights))
    output = Recirculation(name="recirculation", regression=regression).learn(part, net.x, net.x)
    assert torch.equal(output, part.forward(net.x).output)
    assert part.descended.keys() == {"W0", "W1", "b0", "b1"}
    return {name: g for name, (g, _) in part.descended.items()}


@pytest.mark.parametrize("loss", ["sigmoid_cross_entropy", "squared_error"])
def test_follows_a_loop_over_units(draw_network, loss):
    net, keep = draw_network((4, 3, 4), "tanh", bias=True), 0.6
    found = learned(net, keep, loss)
    g = (lambda u: 1 / (1 + np.exp(-u))) if loss == "sigmoid_cross_entropy" else (lambda u: u)
    for r in range(3):
        (W, V), (c, b) = ([m[r].numpy() for m in kind] for kind in (net.weights.W, net.weights.b))
        d = {"W0": np.zeros_like(W), "W1": np.zeros_like(V), "b0": 0 * c, "b1": 0 * b}
        for n in range(4):
            x0 = net.x[r, n].numpy()
            h1 = [np.tanh(sum(x0[i] * W[i, j] for i in range(4)) + c[0, j]) for j in range(3)]
            out = [g(sum(h1[j] * V[j, i] for j in range(3)) + b[0, i]) for i in range(4)]
            x2 = [keep * x0[i] + (1 - keep) * out[i] for i in range(4)]
            again = [np.tanh(sum(x2[i] * W[i, j] for i in range(4)) + c[0, j]) for j in range(3)]
            h3 = [keep * h1[j] + (1 - keep) * again[j] for j in range(3)]
            for j in range(3):
                for i in range(4):
                    d["W1"][j, i] -= h1[j] * (x0[i] - x2[i]) / 4
                    d["W0"][i, j] -= x2[i] * (h1[j] - h3[j]) / 4
                d["b0"][0, j] -= (h1[j] - h3[j]) / 4
            for i in range(4):
                d["b1"][0, i] -= (x0[i] - x2[i]) / 4
        for name, expected in d.items():
            np.testing.assert_allclose(found[name][r], expected, rtol=1e-9, atol=1e-12)


def test_near_regression_it_is_the_gradient(draw_network):
    """Of the cross-entropy, where decoding weights are encoding ones transposed: the encoder's
    error falls as 1 - lambda does."""
    net, errors = draw_network((6, 4, 6), "sigmoid", bias=True), {}
    net.x = torch.sigmoid(net.x)
    net.weights.W[1] = net.weights.W[0].mT.clone()
    leaves = [*net.weights.W, *net.weights.b]
    W, V, c, b = (t.clone().requires_grad_() for t in leaves)
    u = torch.sigmoid(net.x @ W + c) @ V + b
    (LOSSES["sigmoid_cross_entropy"].value(u, net.x).sum() / 4).backward()
    for rest in (1e-3, 1e-4):
        found = learned(net, 1 - rest)
        for name, leaf, power in (("W0", W, 2), ("b0", c, 2), ("W1", V, 1), ("b1", b, 1)):
            error = (found[name] / rest**power - leaf.grad).norm() / leaf.grad.norm()
            errors.setdefault(name, []).append(error.item())
    for name in ("W0", "b0"):
        first, second = errors[name]
        assert first < 0.05
        assert first / second == pytest.approx(10, rel=0.1)
    for name in ("W1", "b1"):
        assert max(errors[name]) < 1e-9


def test_it_solves_the_encoder(workdir, tmp_path, capsys):
    """As published: 48 updates on average, four patterns a step, lambda = 0.75, epsilon = 20."""
    args = [
        "run", "learning_rule=recirculation", "dataset=encoder", "dataset.n=4", "seed=[0,1,2,3]",
        "task=reconstruction", "model.hidden=[2]", "model.activation=sigmoid", "model.bias=true",
        "optimizer.lr=80", "trainer.epochs=200", "trainer.metrics_every=100",
        "trainer.device=cpu",
    ]  # fmt: skip
    assert cli.main(args) == 0, capsys.readouterr().err
    [folder] = tmp_path.glob("outputs/runs/*")
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary["final"]["test_accuracy"]["per_seed"].values()) == {1.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model__hidden": [5, 4]}, "needs one hidden layer: model"),
        ({"model__hidden": []}, "needs one hidden layer: model"),
        ({"model__hidden_dropout": 0.1}, "is not defined for dropout"),
        ({"dataset": "digits", "task": "classification"}, "reconstructs its inputs: task.name=cl"),
        ({"learning_rule__regression": 1.0}, r"^learning_rule\.regression=1\.0: "),
    ],
    ids=str,
)
def test_what_it_refuses(make_raw, settings, message):
    with pytest.raises(UserError, match=message):
        parse(make_raw(**ENCODER | settings))
