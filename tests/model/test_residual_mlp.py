"""Dense residual networks: the sums of the blocks."""

import pytest
import torch

from fabench.population.population import Row
from fabench.run.trainer import population_of
from fabench.schema import UserError


def test_every_block_adds_what_came_into_it(make_config):
    config = make_config(model="residual_mlp", model__hidden=[6] * 5, task="classification")
    assert [layer.adds for layer in config.layers()] == [(), (), (0,), (), (2,), ()]
    population = population_of(config, [Row(0, config.scalars())], torch.device("cpu"))
    W = population.matrices("W")
    x = torch.randn(1, 7, 64)
    s = x @ W[0]
    for block in (1, 3):
        s = s + torch.relu(torch.relu(s) @ W[block]) @ W[block + 1]
    torch.testing.assert_close(population.outputs(x), torch.relu(s) @ W[5])


@pytest.mark.parametrize("hidden", [[], [4, 4], [4, 4, 5]])
def test_blocks_have_two_layers_of_one_width(make_config, hidden):
    with pytest.raises(UserError, match="^model.hidden=.*one layer and then two a block"):
        make_config(model="residual_mlp", model__hidden=hidden)
