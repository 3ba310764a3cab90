"""Oracles: a NumPy loop over individuals; the gradient, which small noise finds.

Axes: R rows, B batch."""

import numpy as np
import pytest
import torch
from by_hand import classifiers, loss_of

from fabench.learning_rule.base.search import losses

SETTINGS = {
    "learning_rule": "evolution_strategy",
    "task": "classification",
    "model__hidden": [5],
    "model__activation": "tanh",
    "model__bias": True,
    "trainer__precision": "fp32",
}


def build(make_config, **settings):
    return classifiers(make_config(**SETTINGS | settings))


@pytest.mark.parametrize("shaping", ["none", "ranks"])
@pytest.mark.parametrize("frozen", [[], [2]], ids=["all layers", "the first layer"])
def test_follows_a_loop(make_config, shaping, frozen):
    people, x, y = build(
        make_config, learning_rule__pairs=6, learning_rule__sigma=0.3,
        learning_rule__shaping=shaping, trainer__frozen_layers=frozen,
    )  # fmt: skip
    for row in (0, 1):
        part, own = people.part(slice(row, row + 1)), slice(row, row + 1)
        found = part.wishes(x[own], y[own])
        assert sorted(found) == sorted(people.trained_names)
        theta = {n: part[n][0].numpy() for n in ("W0", "b0", "W1", "b1")}
        eps = {n: part.noise(f"individuals {n}", (6, *theta[n].shape))[0].numpy() for n in found}
        F = np.zeros((2, 6))
        for sign in (0, 1):
            for i in range(6):
                moved = {n: theta[n] + (1 - 2 * sign) * 0.3 * eps[n][i] for n in eps}
                F[sign, i] = loss_of(theta | moved, x[row].numpy(), y[row].numpy())
        if shaping == "ranks":
            F = F.flatten().argsort().argsort().reshape(2, 6) / 11 - 0.5
        for name, g in found.items():
            expected = sum((F[0, i] - F[1, i]) * eps[name][i] for i in range(6)) / (2 * 6 * 0.3)
            np.testing.assert_allclose(g[0].numpy(), expected, rtol=1e-3, atol=1e-5)


def test_with_little_noise_it_is_the_gradient_in_the_mean(make_config):
    people, x, y = build(make_config, learning_rule__pairs=3000, learning_rule__sigma=0.01)
    part = people.part(slice(0, 1))
    own = {name: part[name].clone().requires_grad_() for name in people.trained_names}
    output = part.forward(x[:1], training=True, changed=own).output
    exact = torch.autograd.grad(torch.nn.functional.cross_entropy(output[0], y[0]), [*own.values()])
    found = part.wishes(x[:1], y[:1])
    found, exact = (torch.cat([g.flatten() for g in gs]) for gs in (found.values(), exact))
    z = (found - exact) / exact.norm() * 3000**0.5  # a number's standard deviation is about 1
    assert z.abs().max() < 5
    assert 0.8 < z.std() < 1.2


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "residual_mlp", "model__hidden": [6, 6, 6], "model__batch_norm": True},
        {"model": "lenet", "model__channels": [2, 3], "model__hidden": [6]},
        {"model__batch_norm": True, "trainer__frozen_layers": [1]},
    ],
    ids=["residual", "images", "normalised"],
)
def test_individuals_are_networks_of_their_own(make_config, settings):
    people, x, y = build(make_config, **settings)
    part = people.part(slice(0, 2))
    rng = torch.Generator().manual_seed(1)
    theta = {n: torch.randn(2, 3, *part[n].shape[1:], generator=rng) for n in people.trained_names}
    found = losses(part, x, y, theta)
    for row in (0, 1):
        alone, own = people.part(slice(row, row + 1)), slice(row, row + 1)
        for i in range(3):
            changed = {n: value[own, i] for n, value in theta.items()}
            output = alone.forward(x[own], training=True, changed=changed).output
            expected = alone.loss(output, y[own]).mean()
            torch.testing.assert_close(found[row, i], expected, rtol=1e-4, atol=1e-5)
