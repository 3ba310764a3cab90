"""Oracles: autograd's gradient, as far as it goes along what is drawn; the mean over directions.

Axes: R rows, B batch, n units."""

import pytest
import torch
from by_hand import classifiers

SETTINGS = {
    "learning_rule": "forward_gradient",
    "task": "classification",
    "model__hidden": [6, 5],
    "model__activation": "tanh",
    "trainer__precision": "fp32",
}
CASES = {
    "biases": {"model__bias": True},
    "none": {},
    "a frozen layer": {"model__bias": True, "trainer__frozen_layers": [1]},
    "dropout": {"model__hidden_dropout": 0.5},
}
every_case = pytest.mark.parametrize("case", CASES)


def build(make_config, **settings):
    return classifiers(make_config(**SETTINGS | settings))


def signals(part, x, y, own):
    """The gradient of every example's loss at every layer's sum [1, B, n] and, of the mean loss, at
    the parameters ``own``, by autograd."""
    passed = part.forward(x.clone().requires_grad_(), training=True, changed=own)
    loss = torch.nn.functional.cross_entropy(passed.output[0], y[0], reduction="sum")
    at_sums = torch.autograd.grad(loss, passed.a, retain_graph=True)
    at_own = torch.autograd.grad(loss / x.shape[1], list(own.values()))
    return at_sums, dict(zip(own, at_own, strict=True))


def leaves(people, part):
    """The parameters that learn, for autograd."""
    return {name: part[name].clone().requires_grad_() for name in people.trained_names}


@every_case
def test_is_the_gradients_part_along_the_direction(make_config, case):
    people, x, y = build(make_config, **CASES[case])
    for row in (slice(0, 1), slice(1, 2)):
        part = people.part(row)
        _, exact = signals(part, x[row], y[row], leaves(people, part))
        found = part.wishes(x[row], y[row])
        assert found.keys() == exact.keys()
        drawn = {n: part.noise(f"direction 0 {n}", g.shape[1:]) for n, g in exact.items()}
        along = sum((drawn[n] * exact[n]).sum() for n in exact)
        for name, g in found.items():
            torch.testing.assert_close(g, along * drawn[name], rtol=1e-3, atol=1e-5)


@every_case
def test_activities_learn_from_every_examples_slope(make_config, case):
    settings = {"learning_rule__perturbed": "activities", "learning_rule__directions": 2}
    people, x, y = build(make_config, **CASES[case] | settings)
    part = people.part(slice(0, 1))
    own = leaves(people, part)
    exact, _ = signals(part, x[:1], y[:1], own)
    deltas = [0, 0]
    for number in (0, 1):
        u = part.noise(f"direction {number}", (12, 11)).split((6, 5), 2)
        s = sum((kick * g).sum(2, keepdim=True) for kick, g in zip(u, exact[:2], strict=True))
        deltas = [delta + s * kick / 2 for delta, kick in zip(deltas, u, strict=True)]
    passed = part.forward(x[:1], training=True)
    found = part.wishes(x[:1], y[:1])
    assert found.keys() == own.keys()
    for layer, delta in enumerate([*deltas, exact[2]]):
        if f"W{layer}" in found:
            expected = passed.h[layer].mT @ delta / 12
            torch.testing.assert_close(found[f"W{layer}"], expected, rtol=1e-3, atol=1e-5)
        if f"b{layer}" in found:
            torch.testing.assert_close(found[f"b{layer}"], delta.mean(1, keepdim=True))


@pytest.mark.parametrize("perturbed", ["weights", "activities"])
def test_the_mean_over_directions_is_the_gradient(make_config, perturbed):
    n = 4000
    settings = {"learning_rule__perturbed": perturbed, "learning_rule__directions": n}
    people, x, y = build(make_config, model__hidden=[4], **settings)
    part = people.part(slice(0, 1))
    _, exact = signals(part, x[:1], y[:1], leaves(people, part))
    found = part.wishes(x[:1], y[:1])["W0"]
    cosine = torch.cosine_similarity(found.flatten(), exact["W0"].flatten(), 0)
    assert cosine > 0.9
    torch.testing.assert_close(found.norm(), exact["W0"].norm(), rtol=0.15, atol=0)


def test_directions_are_drawn_anew_in_every_step(make_config):
    people, x, y = build(make_config)
    part = people.part(slice(0, 1))
    first = part.wishes(x[:1], y[:1])["W0"]
    part.begin(2)
    second = part.wishes(x[:1], y[:1])["W0"]
    assert torch.cosine_similarity(first.flatten(), second.flatten(), 0).abs() < 0.5
