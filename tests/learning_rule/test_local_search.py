"""Oracle: the whole search as a NumPy loop, one network after the other."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from fabench.population import population as module
from fabench.population.metrics import update_alignment
from fabench.population.population import Row
from fabench.randomness import generator
from fabench.run import progress
from fabench.run.trainer import population_of

CPU = torch.device("cpu")
SETTINGS = {
    "learning_rule": "local_search",
    "model__hidden": [3],
    "model__activation": "tanh",
    "model__bias": True,
    "k": 1,
}
NAMES = ["W0", "b0", "W1", "b1"]  # 64-3-1: 199 parameters


def build(config, rows=None):
    return population_of(config, rows or [Row(s, config.scalars()) for s in config.seeds], CPU)


def batch(number=0):
    """x [3, 16, 64], y [3, 16, 1]: is the first input positive?"""
    x = torch.randn(3, 16, 64, generator=torch.Generator().manual_seed(number))
    return x, (x[..., :1] > 0).float()


def loss(theta, x, y):
    """The mean cross-entropy of a network in float64."""
    W0, b0, W1, b1 = theta
    a = np.tanh(x @ W0 + b0) @ W1 + b1
    return np.logaddexp(0, np.where(y > 0, -a, a)).mean()


def search(seed, theta, learn, batches, indices, scale, decay, kind):
    """The parameters after every step, and whether it was kept."""
    best = loss(theta, *batches[0])
    total = sum(theta[i].size for i in learn)
    steps_a_round = math.ceil(total / indices)
    for t, (x, y) in enumerate(batches):
        shuffle, place = divmod(t, steps_a_round)
        order = generator(seed, "search order", shuffle).permutation(total)
        change = generator(seed, "search change", shuffle).random(total, np.float32) - 0.5
        candidate = [p.copy() for p in theta]
        for n in range(place * indices, min((place + 1) * indices, total)):
            i = order[n]
            for number in learn:
                if 0 <= i < theta[number].size:
                    candidate[number].flat[i] += scale * change[n]
                i -= theta[number].size
        score = loss(candidate, x, y)
        assert abs(score - best) > 1e-6, "float32 could decide otherwise"
        kept = score < best
        if kept:
            theta, best = candidate, score
        elif kind == "additive":
            best += decay
        else:
            best *= 1 + decay
        yield theta, best, kept


@pytest.mark.parametrize("frozen", [[], [1]], ids=["all layers", "the second layer"])
@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_follows_a_loop(make_config, kind, frozen):
    """Another batch in every step; 7 rounds, or more."""
    config = make_config(
        **SETTINGS, trainer__frozen_layers=frozen, learning_rule__indices=60,
        learning_rule__scale=3.0, learning_rule__decay=0.03, learning_rule__decay_kind=kind,
    )  # fmt: skip
    people = build(config)
    learn = [2, 3] if frozen else [0, 1, 2, 3]
    batches = [batch(number) for number in range(28)]
    loops = []
    for r, seed in enumerate(config.seeds):
        theta = [people.tensors[name][r].double().numpy() for name in NAMES]
        own = [(x[r].double().numpy(), y[r].numpy()) for x, y in batches]
        loops.append(search(seed, theta, learn, own, 60, 3.0, 0.03, kind))
    kept = []
    for x, y in batches:
        before = people.outputs(x)
        assert torch.equal(people.step(x, y), before)
        for r, (theta, best, was_kept) in enumerate(map(next, loops)):
            for name, expected in zip(NAMES, theta, strict=True):
                np.testing.assert_allclose(people.tensors[name][r], expected, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(people.tensors["best"][r], best, rtol=1e-5)
            kept.append(was_kept)
    assert 10 < sum(kept) < len(kept) - 10


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_on_a_fixed_batch_the_loss_never_rises_unless_the_best_decays(make_config, decay):
    people = build(make_config(**SETTINGS, learning_rule__decay=decay))
    x, y = batch()
    value = people.task.objective.value
    losses = torch.stack([value(people.step(x, y), y).mean(1) for _ in range(200)])
    assert (losses[-1] < 0.9 * losses[0]).all()
    assert (losses.diff(dim=0) > 1e-6).any() == (decay > 0)


def test_a_row_is_the_run_alone_whatever_the_others_have(make_config, monkeypatch):
    config = make_config(**SETTINGS, trainer__precision="fp32")
    decays = {"learning_rule.scale": 0.5, "learning_rule.decay": 0.05}
    rows = [Row(0, config.scalars()), Row(1, {**config.scalars(), **decays}),
            Row(0, {**config.scalars(), "learning_rule.scale": 2.0})]  # fmt: skip
    batches = [batch(number) for number in range(20)]

    def after(people, rows=slice(None)):
        for x, y in batches:
            seeds = {people.rows[0].seed} if len(people.rows) == 1 else {0, 1}
            people.step(x[sorted(seeds)], y[rows])
        return people.snapshot(slice(None))

    one_by_one = after(build(config, rows))
    for r in range(3):
        alone = after(build(config, [rows[r]]), slice(r, r + 1))
        assert alone.keys() == {*NAMES, "best"}
        for name, tensor in alone.items():
            torch.testing.assert_close(tensor[0], one_by_one[name][r])
    monkeypatch.setattr(module, "computes_together", lambda *_: True)
    for name, tensor in after(build(config, rows)).items():
        torch.testing.assert_close(tensor, one_by_one[name])
    assert not torch.equal(one_by_one["W0"][0], one_by_one["W0"][2])


def test_it_continues_where_it_was(make_config):
    config = make_config(**SETTINGS)
    whole, first, then = build(config), build(config), build(config)
    for number in range(20):
        whole.step(*batch(number))
    for number in range(9):
        first.step(*batch(number))
    then.restore(slice(None), first.snapshot(slice(None)))
    then.steps = first.steps
    for number in range(9, 20):
        then.step(*batch(number))
    for name, tensor in whole.snapshot(slice(None)).items():
        assert torch.equal(then.tensors[name], tensor), name


def test_its_update_is_minus_its_change(make_config):
    """On a fixed batch in small steps, what is kept goes downhill; what is not is no update."""
    tiny = {"learning_rule__scale": 0.001, "learning_rule__decay": 0.0, "seed": [0]}
    people = build(make_config(**SETTINGS | tiny | {"model__bias": False}))  # all are weights
    x, y = (tensor[:1] for tensor in batch())
    part, cosines = people.part(slice(None)), []
    for _ in range(40):
        best, before = people.tensors["best"].clone(), people.tensors["W0"].clone()
        part.begin(people.t + 1)
        cosines.append(update_alignment(part, x, y)["update_alignment"].item())
        assert torch.equal(people.tensors["best"], best), "nothing is changed"
        people.step(x, y)
        kept = not torch.equal(people.tensors["W0"], before)
        assert math.isnan(cosines[-1]) != kept
        assert not kept or cosines[-1] > 0
    assert 5 < sum(map(math.isnan, cosines)) < 35


def test_there_is_no_optimizer(make_config):
    config = make_config(**SETTINGS)
    assert config.optimizer is None
    assert config.name() == f"local_search_digits_k1-{config.identity()}"
    assert config.method == "local_search"
    assert "optimizer" not in config.resolved()
    assert not any("optimizer" in key or "lr" in key for key in config.scalars())
    plan = progress.plan([config], 199)
    assert plan["rule"] == "local_search (scale=1, decay=2e-05)" and "optimizer" not in plan
    faster = dataclasses.replace(config.learning_rule, scale=2.0)
    other = dataclasses.replace(config, learning_rule=faster)
    assert other.identity() != config.identity()
    assert other.architecture() == config.architecture(), "they train as one population"


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "lenet", "model__channels": [3, 4], "model__hidden": [5]},
        {"model__hidden": [5] * 17},  # all rows at once
        {"model__hidden": [6, 5], "model__input_dropout": 0.2, "model__hidden_dropout": 0.2},
        {"trainer__precision": "bf16"},
    ],
    ids=["convolutions", "deep", "dropout", "bf16"],
)
def test_a_step_changes_its_indices_or_nothing(make_config, monkeypatch, settings):
    monkeypatch.setattr("fabench.population.precision.cpu_has_bf16", lambda: True)
    people = build(make_config(**SETTINGS | {"learning_rule__indices": 7} | settings))
    changed = torch.zeros(3, 25, dtype=torch.long)  # the first round has more
    for number in range(25):
        before = {name: tensor.clone() for name, tensor in people.trained().items()}
        x, y = batch(number % 2)
        people.step(people.operand(x), y)
        for name, tensor in people.trained().items():
            changed[:, number] += (tensor != before[name]).flatten(1).sum(1)
    assert set(changed.unique().tolist()) == {0, 7}
    assert (changed.sum(1) > 0).all()
