from math import pi, sqrt

import numpy as np
import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.fourier_features import FourierFeatures
from fabench.model.layer.network import Layer, forward
from fabench.population.examples import Examples
from fabench.population.population import Row
from fabench.run.registry import build
from fabench.run.trainer import population_of
from fabench.schema import UserError

CPU = torch.device("cpu")
X = np.array([[1.0, -2.0], [0.5, 1.0]])
W1, b1 = np.array([[0.5, -1.0, 1.0], [0.25, 2.0, -1.0]]), np.array([[0.0, 5 + pi, pi / 2 - 3]])
E = np.array([[0.5], [-1.0]])


def population(config):
    return population_of(config, [Row(0, config.scalars())], CPU)


def test_follows_the_equation():
    """2-3-1 units of a model that asks for ReLU without biases."""
    rule = FourierFeatures(name="fourier_features", scale=1.0)
    layers = (rule.hidden_layer(Layer(2, 3, "relu")), Layer(3, 1, "relu"))
    W = [torch.tensor(W1)[None], torch.ones(1, 3, 1).double()]
    part = HandPart(layers, W=W, b=[torch.tensor(b1)[None]])
    passed = part.forward(torch.tensor(X)[None])
    np.testing.assert_allclose(passed.h[1][0, 0], [1, -1, 0], atol=1e-15)  # (1): a = 0, π, π/2
    np.testing.assert_allclose(passed.h[1][0], np.cos(X @ W1 + b1), atol=1e-15)
    deltas = rule.teaching_signals(torch.tensor(E)[None], None, passed, part)
    assert list(deltas) == [1]
    np.testing.assert_array_equal(deltas[1][0], E)


@pytest.mark.parametrize("bias", [False, True])
def test_weights_and_phases_have_their_distributions(make_config, bias):
    """k = 2 images of 64 pixels: W ~ N(0, (4 scale / sqrt(128))^2), whatever model.weight_scale."""
    config = make_config(
        learning_rule="fourier_features", learning_rule__scale=0.25, k=2,
        model__hidden=[2000], model__bias=bias, model__weight_scale=7.0,
    )  # fmt: skip
    people = population(config)
    W = people.matrices("W")[0].double().flatten()
    z, n = W * sqrt(128), len(W)  # 4 * 0.25 = 1
    assert abs(z.mean()) < 5 / sqrt(n)
    assert abs(z.square().mean() - 1) < 5 * sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 5 * sqrt(96 / n)

    u = people.matrices("b")[0].double().flatten() / (2 * pi)
    assert u.min() >= 0
    assert u.max() <= 1
    largest_gap = np.diff(np.sort(u), prepend=0, append=1).max()
    assert largest_gap < 2 * np.log(2000) / 2000  # of n uniform numbers: about log(n) / n
    assert abs(u.mean() - 0.5) < 5 * sqrt(1 / 12 / 2000)
    assert {name for name in people.trained() if name.endswith("0")} == set()
    assert len(people.matrices("b")) == 1 + bias


def test_the_kernel_is_daniely_and_malachs(make_config, make_images):
    """They feed pixels p in [0, 1] to cos(p W + b), W ~ N(0, 16 / d), whose kernel is

        2 E[cos(p W + b) cos(p' W + b)] = exp(-16 |p - p'|^2 / (2 d)).

    Ours feeds (p - mean) / sd: with scale = sd it must be the same kernel of p. The estimate is a
    mean over the units, whose standard error is measured on them.
    """
    images = make_images(n_train=12)
    config = make_config(
        learning_rule="fourier_features", learning_rule__scale=images.pixel_std / 255, k=2,
        model__hidden=[40_000], trainer__precision="fp32",
    )  # fmt: skip
    people = population(config)
    examples = Examples(images, config.task, [0], CPU, people.operand)
    epoch = examples.epoch("train", 0)
    x, _ = next(examples.batches(epoch, 12))
    p = images.train_images.numpy().reshape(12, 64)[epoch.table[0]].reshape(12, 128) / 255.0
    p[6:] = 0.7 * p[:6] + 0.3 * p[6:]  # some near, some far
    x[0, 6:] = 0.7 * x[0, :6] + 0.3 * x[0, 6:]

    kernel = np.exp(-16 * ((p[:, None] - p[None]) ** 2).sum(-1) / (2 * 128))
    h = forward(people.layers, people.tensors, x).h[1][0].double().numpy()
    products = 2 * h[:, None] * h[None]
    error = products.mean(-1) - kernel
    standard_error = products.std(-1) / sqrt(products.shape[-1])
    assert kernel.min() < 0.8
    assert (np.abs(error) < 5 * standard_error).all()
    off = ~np.eye(12, dtype=bool)
    for wrong in (kernel**0.5, kernel**2):  # what twice the variance, or half, would give
        assert (np.abs(products.mean(-1) - wrong)[off] > 5 * standard_error[off]).any()


def test_the_scale_is_positive():
    for scale in (0, -1.0, float("nan"), "1"):
        with pytest.raises(UserError, match=r"^learning_rule\.scale="):
            build("learning_rule", {"name": "fourier_features", "scale": scale})
