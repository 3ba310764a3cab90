"""Oracle: the whole search as a NumPy loop of complete forward passes, in float64."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from fabench.population.population import Row
from fabench.run.trainer import population_of
from fabench.schema import UserError

SETTINGS = {
    "learning_rule": "weight_search",
    "task": "classification",
    "model__hidden": [4, 3],
    "model__activation": "tanh",
    "trainer__precision": "fp32",
}


def loss(theta, x, y):
    """The mean cross-entropy of a network in float64."""
    h = x
    for layer in range(3):
        a = h @ theta[f"W{layer}"] + theta.get(f"b{layer}", 0)
        h = np.tanh(a)
    return (np.log(np.exp(a).sum(1)) - (a * y).sum(1)).mean()


@pytest.mark.parametrize(
    "settings",
    [{"model__bias": True}, {}, {"model__bias": True, "trainer__frozen_layers": [2]}],
    ids=["biases", "none", "a frozen layer"],
)
def test_follows_a_loop_through_more_than_a_pass(make_config, settings):
    config = make_config(
        **SETTINGS, **settings, dataset="digits", dataset__downsample=4, learning_rule__weights=7,
        learning_rule__scale=2.0, learning_rule__decay=0.5,
    )  # fmt: skip
    people = population_of(config, [Row(s, config.scalars()) for s in (0, 1)], torch.device("cpu"))
    learn = [
        name
        for layer in (2, 1, 0)
        for name in (f"W{layer}", f"b{layer}")
        if name in people.tensors and 1 + layer not in config.trainer.frozen_layers
    ]
    order = [(n, i) for n in learn for i in range(people.tensors[n][0].numel())]
    names = [name for name in people.tensors if name[0] in "Wb"]
    each = [{n: people.tensors[n][r].numpy().astype(float) for n in names} for r in (0, 1)]
    sd = [{f"sd{la}": each[r][f"W{la}"].std() for la in range(3)} for r in (0, 1)]
    rng = torch.Generator().manual_seed(0)
    kept = 0
    for t in range(1, len(order) // 7 + 4):
        x = torch.randn(2, 9, config.layers()[0].n_inputs, generator=rng)
        y = torch.eye(10)[torch.randint(10, (2, 9), generator=rng)]
        people.step(x, y)
        for r, theta in enumerate(each):
            part = people.part(slice(r, r + 1))
            drawn = part.noise("weight search", (7, 1))[0, :, 0].numpy()
            for j in range(7):
                rounds, place = divmod((t - 1) * 7 + j, len(order))
                name, i = order[place]
                delta = 2.0 * 0.5**rounds * sd[r][f"sd{name[1:]}"] * drawn[j]
                tried = []
                for sign in (0, 1, -1):
                    candidate = {n: p.copy() for n, p in theta.items()}
                    candidate[name].flat[i] += sign * delta
                    tried.append((loss(candidate, x[r].numpy(), y[r].numpy()), candidate))
                best = int(np.argmin([score for score, _ in tried]))
                theta.update(tried[best][1])
                kept += best > 0
            for n in names:
                np.testing.assert_allclose(people.tensors[n][r].numpy(), theta[n], atol=2e-4)
    assert kept > len(order)


def test_the_loss_of_a_batch_never_rises(make_config):
    config = make_config(**SETTINGS, dataset__downsample=4)
    people = population_of(config, [Row(0, config.scalars())], torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(1, 16, config.layers()[0].n_inputs, generator=rng)
    y = torch.eye(10)[torch.randint(10, (1, 16), generator=rng)]
    losses = []
    for _ in range(6):
        losses.append(float(people.task.objective.value(people.step(x, y), y).mean()))
    assert all(b <= a + 1e-6 for a, b in pairwise(losses))
    assert losses[-1] < 0.9 * losses[0]


def test_zeros_have_no_spread_to_move_by(make_config):
    with pytest.raises(UserError, match="zeros have none"):
        make_config(**SETTINGS, model__weight_init="zeros")


def test_moves_are_in_proportion_to_weights_that_are_given(make_config):
    config = make_config(**SETTINGS, dataset__downsample=4)
    shapes = [(layer.fan_in, layer.fan_out) for layer in config.layers()]
    given = {f"W{number}": 3 * torch.randn(1, *shape) for number, shape in enumerate(shapes)}
    found = config.learning_rule.started_with(config.layers(), given)
    for number, (name, sd) in enumerate(found.items()):
        assert name == f"sd{number}" and sd.shape == (1, 1, 1)
        assert float(sd) == pytest.approx(given[f"W{number}"].numpy().std(), rel=1e-5)
