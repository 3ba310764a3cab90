"""Dense residual networks: the sums of the blocks."""

import pytest
import torch

from fabench.model.layer.network import forward
from fabench.model.residual_mlp import ResidualMlp
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


def test_what_small_blocks_add_is_not_rounded_away():
    """Sixty blocks of one unit that add 2^-9 of what comes in, of which bf16 has no digit."""
    net = ResidualMlp(
        name="residual_mlp", hidden=[1] * 121, activation="linear", bias=False,
        weight_init="zeros", weight_scale=1.0, input_dropout=0.0, hidden_dropout=0.0,
    )  # fmt: skip
    layers = net.layers((1,), 1, 1)
    W = [1.0, *[1.0, 2.0**-9] * 60, 1.0]
    weights = {f"W{number}": torch.full((1, 1, 1), w).bfloat16() for number, w in enumerate(W)}
    x = torch.ones(1, 1, 1).bfloat16()
    output = forward(layers, weights, x, lambda h: h.bfloat16()).output
    assert output.item() == pytest.approx((1 + 2**-9) ** 60, rel=0.01)
