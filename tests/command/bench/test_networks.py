"""What ``fabench bench`` compares networks of convolutions and rules' products with."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from fabench.command import cli
from fabench.command.bench.networks import Plain, Products, batch, population

NETS = {
    "lenet": {"model__channels": [2, 3]},
    "wide_resnet": {"model__hidden": [], "model__depth": 10, "model__width": 1},
    "residual_mlp": {"model__hidden": [6, 6, 6], "model__batch_norm": True},
}


def configure(make_config, model, **settings):
    return make_config(
        task="classification", learning_rule="bp", model=model, trainer__batch_size=8,
        optimizer__lr=0.05, trainer__precision="fp32", **settings,
    )  # fmt: skip


@pytest.mark.parametrize("model", NETS)
def test_torch_and_fabench_train_the_same_networks(make_config, model):
    config = configure(make_config, model, **NETS[model])
    people, plain = population(config, 2), Plain(config, 2)
    x, y = batch(config, torch.device("cpu"))
    for _ in range(3):
        people.step(x.expand(2, -1, -1), y.expand(2, -1, -1))
    plain(3)
    for r, (network, _) in enumerate(plain.networks):
        found = [product.weight.detach().flatten(1).T for product in network.products]
        for w, expected in zip(people.matrices("W"), found, strict=True):
            torch.testing.assert_close(w[r], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("model", ["lenet", "wide_resnet"])
def test_images_are_channels_last(make_config, model):
    plain = Plain(configure(make_config, model, **NETS[model]), 1)
    assert plain.x.is_contiguous(memory_format=torch.channels_last)


def test_products_are_those_of_a_step(make_config):
    """Of backpropagation: a layer's forward, backward (but for the first) and gradient."""
    config = configure(make_config, "mlp", model__hidden=[6, 5])
    people = population(config, 1)
    x, y = batch(config, torch.device("cpu"))
    people.step(x, y)
    with Products() as noted:
        people.step(x, y)
    n, widths = 8, (64, 6, 5, 10)
    expected = [(n, i, o) for i, o in pairwise(widths)]
    expected += [(n, o, i) for i, o in pairwise(widths[1:])]
    expected += [(i, n, o) for i, o in pairwise(widths)]
    found = [(*left[-2:], right[-1]) for left, right, _ in noted.shapes]
    assert sorted(found) == sorted(expected)


def test_the_table_has_a_row_for_each(workdir, tmp_path):
    wanted = [
        "dataset=digits", "bench.rules=[]", "bench.scaling=false", "bench.contenders=[fabench]",
        "bench.seconds=0.001", "bench.repetitions=1", "bench.models=[lenet]",
        "bench.products=[dfa,contrastive_hebbian]", "trainer.batch_size=4", "trainer.device=cpu",
        "bench.loops=[difference_target_propagation,contrastive_divergence]",
    ]  # fmt: skip
    assert cli.main(["bench", *wanted]) == 0
    table = pd.read_csv(tmp_path / "outputs/tables/bench_networks.csv")
    cases = list(
        zip(table.model, table.learning_rule, table.population, table.contender, strict=True)
    )
    assert cases == [
        ("convnet", "bp", 1, "fabench"), ("convnet", "bp", 1, "autograd"),
        ("convnet", "bp", 3, "fabench"), ("convnet", "bp", 3, "autograd"),
        ("mlp", "dfa", 1, "fabench"), ("mlp", "dfa", 1, "products"),
        ("mlp", "contrastive_hebbian", 1, "fabench"), ("mlp", "contrastive_hebbian", 1, "products"),
    ] + [
        ("mlp", rule, n, contender)
        for rule in ("difference_target_propagation", "contrastive_divergence")
        for n in (1, 3)
        for contender in ("fabench", "loop")
    ]  # fmt: skip
    step = table.seconds_per_step_per_network
    assert np.allclose(table.examples_per_second * step, 4)
    assert np.allclose(table.times_fabench[1::2], step[1::2].to_numpy() / step[::2].to_numpy())
