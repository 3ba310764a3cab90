"""Clipped gradients and noise on them. Oracles: torch.nn.utils.clip_grad_norm_, the noise drawn.

Axes: R rows, B batch.
"""

import pytest
import torch

from fabench.population.population import Row
from fabench.run.trainer import population_of

CPU = torch.device("cpu")
NET = {
    "task": "classification", "model__hidden": [6, 5], "model__bias": True, "optimizer": "sgd",
    "optimizer__lr": 0.5, "model__activation": "tanh", "trainer__precision": "fp32",
}  # fmt: skip


def build(make_config, seeds=(0, 1), **settings):
    config = make_config(**NET | settings)
    return population_of(config, [Row(s, config.scalars()) for s in seeds], CPU)


def batches(number, rows=2):
    rng = torch.Generator().manual_seed(0)
    for _ in range(number):
        x = torch.randn(2, 12, 64, generator=rng)[:rows]
        y = torch.eye(10)[torch.randint(10, (2, 12), generator=rng)][:rows]
        yield x, y


@pytest.mark.parametrize("limit", [0.1, 0.3, 1e6])
def test_clips_as_torch_does(make_config, limit):
    people = build(make_config, learning_rule="bp", trainer__clip_norm=limit)
    names = people.trained_names
    own = [{n: people.tensors[n][r].clone().requires_grad_() for n in names} for r in (0, 1)]
    clipped = 0
    for x, y in batches(3):
        people.step(x, y)
        for r, parameters in enumerate(own):
            h = x[r]
            for layer in range(3):
                a = h @ parameters[f"W{layer}"] + parameters[f"b{layer}"]
                h = torch.tanh(a)
            torch.nn.functional.cross_entropy(a, y[r]).backward()
            norm = torch.nn.utils.clip_grad_norm_(parameters.values(), limit)
            clipped += bool(norm > limit)
            torch.optim.SGD(parameters.values(), 0.5).step()
            for name, value in parameters.items():
                value.grad = None
                torch.testing.assert_close(people.tensors[name][r], value.detach())
    assert clipped == (0 if limit == 1e6 else 6)


@pytest.mark.parametrize("rule", ["bp", "dfa", "contrastive_hebbian"])
def test_a_limit_that_is_not_reached_changes_nothing(make_config, rule):
    plain, limited = (
        build(make_config, learning_rule=rule, trainer__clip_norm=limit) for limit in (None, 1e6)
    )
    for x, y in batches(3):
        plain.step(x, y)
        limited.step(x, y)
    for name, value in plain.trained().items():
        torch.testing.assert_close(limited.trained()[name], value)


def test_noise_has_the_variance_of_its_step(make_config):
    plain, noisy = (
        build(make_config, learning_rule="bp", trainer__gradient_noise=eta) for eta in (0.0, 0.3)
    )
    [(x, y)] = batches(1)
    for t in (1, 9):
        for people in (plain, noisy):
            people.steps = t - 1
            people.restore(
                slice(None), build(make_config, learning_rule="bp").snapshot(slice(None))
            )
            people.step(x, y)
        sd = (0.3 / (1 + t) ** 0.55) ** 0.5
        for r in (0, 1):
            part = noisy.part(slice(r, r + 1))
            for name in noisy.trained_names:
                added = (plain.tensors[name][r] - noisy.tensors[name][r]) / 0.5
                xi = part.noise(f"gradient of {name}", added.shape)[0]
                torch.testing.assert_close(added, sd * xi, rtol=1e-3, atol=1e-5)
                assert name != "W0" or 0.8 < xi.std() < 1.2


def test_feedback_is_neither_clipped_nor_noisy(make_config):
    settings = {"learning_rule": "weight_mirror", "trainer__clip_norm": 1e-6}
    plain, clipped = (
        build(make_config, learning_rule="weight_mirror"),
        build(make_config, **settings),
    )
    [(x, y)] = batches(1)
    plain.step(x, y)
    clipped.step(x, y)
    torch.testing.assert_close(clipped.tensors["B0"], plain.tensors["B0"])
    assert not torch.allclose(clipped.tensors["W1"], plain.tensors["W1"])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_row_is_as_it_is_alone(make_config, optimizer):
    settings = {"trainer__clip_norm": 0.5, "trainer__gradient_noise": 0.1, "optimizer": optimizer}
    both = build(make_config, learning_rule="dfa", **settings)
    alone = build(make_config, [1], learning_rule="dfa", **settings)
    for x, y in batches(3):
        both.step(x, y)
        alone.step(x[1:], y[1:])
    for name, value in alone.trained().items():
        torch.testing.assert_close(both.trained()[name][1:], value, rtol=0, atol=0)
