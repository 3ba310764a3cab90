"""Oracle: two plain forward passes in NumPy."""

import numpy as np
import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.pepita import Pepita
from fabench.population.population import Row
from fabench.run.trainer import population_of
from fabench.task.base import LOSSES

F = {
    "relu": lambda a: np.maximum(a, 0),
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "linear": lambda a: a,
}


def error(a, y):
    p = np.exp(a - a.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True) - y


@pytest.mark.parametrize("dropout", [False, True], ids=["", "dropout"])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("activation", F)
@pytest.mark.parametrize("widths", [(6, 3), (6, 5, 3), (6, 5, 4, 3)], ids=str)
def test_follows_two_forward_passes(draw_network, widths, activation, bias, dropout):
    net, f = draw_network(widths, activation, bias), F[activation]
    projection = net.normal(3, 3, 6)
    objective = LOSSES["softmax_cross_entropy"]
    part = HandPart(net.layers, objective=objective, **vars(net.weights), F=[projection])
    masks = [torch.ones(3, 4, n).double() for n in widths[:-1]]
    if dropout:
        masks = [(net.normal(*mask.shape) > -0.5).double() / 0.7 for mask in masks]
        part.masks = masks
    output = Pepita("pepita", 0.05).learn(part, net.x, net.y)

    for r in range(3):
        W = [w[r].numpy() for w in net.weights.W]
        b = [0 if v is None else v[r].numpy() for v in net.weights.b]

        def through(x, r=r, W=W, b=b):
            h, a = [], x
            for n, (w, shift) in enumerate(zip(W, b, strict=True)):
                h.append((f(a) if n else a) * masks[n][r].numpy())
                a = h[-1] @ w + shift
            return [*h, a]

        x, y = net.x[r].numpy(), net.y[r].numpy()
        first = through(x)
        np.testing.assert_allclose(output[r], first[-1])
        second = through(x + error(first[-1], y) @ projection[r].numpy())
        for n in range(len(W)):
            last = n == len(W) - 1
            delta = error(second[-1], y) if last else first[n + 1] - second[n + 1]
            expected = second[n].T @ delta / 4
            assert np.abs(expected).max() > 1e-3
            np.testing.assert_allclose(part.descended[f"W{n}"][0][r], expected, atol=1e-7)
            if bias:
                mean = delta.mean(0, keepdims=True)
                np.testing.assert_allclose(part.descended[f"b{n}"][0][r], mean, atol=1e-6)


def test_the_projection_stays_and_rows_have_scales_of_their_own(make_config):
    config = make_config(learning_rule="pepita", model__hidden=[6], task="classification")
    scalars = config.scalars()
    rows = [Row(3, scalars), Row(3, scalars | {"learning_rule.feedback_scale": 0.5})]
    people = population_of(config, rows, torch.device("cpu"))
    drawn = people.tensors["F0"].clone()
    torch.testing.assert_close(drawn[1], 10 * drawn[0])
    assert 0.9 < drawn[1].abs().max() / (0.5 * (6 / 64) ** 0.5) <= 1
    x = torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(0))
    people.step(x, torch.eye(10)[torch.arange(16) % 10].expand(2, -1, -1))
    assert torch.equal(people.tensors["F0"], drawn)
    assert "F0" not in people.snapshot(slice(None))
    assert not torch.equal(*people.tensors["W0"])
    assert config.name().startswith("pepita_sgd_digits_classification_lr")
