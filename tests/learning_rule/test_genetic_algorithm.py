"""Oracle: the generations as a NumPy loop over individuals, in float64."""

import numpy as np
import pytest
import torch
from by_hand import loss_of

from fabench.population.population import Row
from fabench.randomness import generator
from fabench.run.trainer import population_of
from fabench.schema import UserError

SETTINGS = {
    "learning_rule": "genetic_algorithm",
    "task": "classification",
    "model__hidden": [4],
    "model__activation": "tanh",
    "model__bias": True,
    "trainer__precision": "fp32",
    "learning_rule__individuals": 8,
    "learning_rule__parents": 3,
    "learning_rule__elites": 2,
    "learning_rule__children": 4,
    "learning_rule__sigma": 0.1,
}


def generation(seed, t, each, scores, learn, part):
    """The individuals that come after ``each``."""
    order = np.argsort(scores)
    ranked = [each[i] for i in order]
    pairs = generator(seed, "parents", t).integers(3, size=(2, 6))
    shapes = {n: each[0][n].shape for n in learn}
    mixed = {n: generator(seed, f"crossover {n}", t).random((4, *shapes[n]), np.float32) < 0.5
             for n in learn}  # fmt: skip
    xi = {n: part.noise(f"mutation {n}", (2, *shapes[n]))[0].numpy() for n in learn}
    after = [ranked[0], ranked[1]]
    for i, (one, other) in enumerate(pairs.T[:4]):
        after.append({n: np.where(mixed[n][i], ranked[one][n], ranked[other][n]) for n in learn})
    for i, one in enumerate(pairs[0, 4:]):
        after.append({n: ranked[one][n] + 0.1 * xi[n][i] for n in learn})
    return ranked[0], after


@pytest.mark.parametrize("frozen", [[], [1]], ids=["all layers", "the second layer"])
def test_follows_a_loop(make_config, frozen):
    config = make_config(**SETTINGS, trainer__frozen_layers=frozen)
    people = population_of(config, [Row(s, config.scalars()) for s in (3, 5)], torch.device("cpu"))
    learn = [n for n in ("W0", "b0", "W1", "b1") if 1 + int(n[1]) not in frozen]
    each = []
    for r in (0, 1):
        split = {n: people.tensors[f"individuals_{n}"][r].numpy() for n in learn}
        split = {n: np.split(v.astype(float), 8) for n, v in split.items()}
        each.append([{n: split[n][i] for n in learn} for i in range(8)])
    assert not np.allclose(each[0][0]["W1"], each[0][1]["W1"])
    rng = torch.Generator().manual_seed(0)
    for t in (1, 2, 3, 4):
        x = torch.randn(2, 12, 64, generator=rng)
        y = torch.eye(10)[torch.randint(10, (2, 12), generator=rng)]
        own = [{n: people.tensors[n][r].numpy() for n in ("W0", "b0", "W1", "b1")} for r in (0, 1)]
        people.step(x, y)
        for r, seed in enumerate((3, 5)):
            part = people.part(slice(r, r + 1))
            scores = [loss_of(own[r] | theta, x[r].numpy(), y[r].numpy()) for theta in each[r]]
            best, each[r] = generation(seed, t, each[r], scores, learn, part)
            for n in learn:
                np.testing.assert_allclose(people.tensors[n][r].numpy(), best[n], atol=1e-5)
                found = people.tensors[f"individuals_{n}"][r].numpy()
                expected = np.concatenate([theta[n] for theta in each[r]])
                np.testing.assert_allclose(found, expected, atol=1e-5)


def test_individuals_begin_as_networks_do(make_config):
    config = make_config(**SETTINGS, model__weight_scale=2.0)
    people = population_of(config, [Row(0, config.scalars())], torch.device("cpu"))
    W = people.tensors["individuals_W0"]
    assert W.shape == (1, 8 * 64, 4)
    bound = 2 / 64**0.5
    assert 0.98 * bound < W.abs().max() <= bound


@pytest.mark.parametrize("wrong", [{"parents": 9}, {"elites": 5}], ids=str)
def test_more_of_them_than_individuals(make_config, wrong):
    settings = {f"learning_rule__{name}": value for name, value in wrong.items()}
    with pytest.raises(UserError, match="than individuals"):
        make_config(**SETTINGS | settings)
