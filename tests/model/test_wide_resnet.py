"""Wide residual networks, against the same network written as torch modules."""

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.nn import functional as F

from fabench.learning_rule.base.feedback import LayerwiseFeedback
from fabench.learning_rule.base.rule import DescentRule
from fabench.model.wide_resnet import WideResnet
from fabench.population.metrics import update_alignment, weight_alignment
from fabench.population.population import Row
from fabench.run import registry
from fabench.run.trainer import population_of
from fabench.schema import UserError

CPU = torch.device("cpu")
CONF = Path(__file__).parents[2] / "conf" / "learning_rule"
SETTINGS = {
    "name": "wide_resnet", "hidden": [], "activation": "relu", "bias": True,
    "weight_init": "he_normal", "weight_scale": 1.0, "input_dropout": 0.0, "hidden_dropout": 0.0,
    "batch_norm": True,
}  # fmt: skip


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        changes = before != after
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False) if changes else None

    def forward(self, x):
        h = F.relu(self.norm1(x))
        carried = x if self.shortcut is None else self.shortcut(h)
        return carried + self.conv2(F.relu(self.norm2(self.conv1(h))))


class Net(nn.Module):
    """WRN-(6n+4)-width as anyone would write it."""

    def __init__(self, n, width, channels, classes):
        super().__init__()
        self.first = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        blocks, before = [], 16
        for stage, base in enumerate((16, 32, 64)):
            for block in range(n):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Block(before, base * width, stride))
                before = base * width
        self.blocks = nn.Sequential(*blocks)
        self.norm, self.last = nn.BatchNorm2d(before), nn.Linear(before, classes)

    def forward(self, x):
        h = F.relu(self.norm(self.blocks(self.first(x))))
        return self.last(h.mean((2, 3)))

    def products(self):
        """Convolutions and the linear layer, in fabench's order."""
        inner = []
        for block in self.blocks:
            inner += [block.conv1, *filter(None, [block.shortcut]), block.conv2]
        return [self.first, *inner, self.last]


@pytest.mark.parametrize(
    ("depth", "width", "count"), [(16, 2, 691_674), (10, 1, 77_850), (28, 10, 36_479_194)]
)
def test_numbers_of_parameters_are_the_papers(depth, width, count):
    layers = WideResnet(**SETTINGS, depth=depth, width=width).layers((3, 32, 32), 1, 10)
    weights = sum(la.fan_in * la.fan_out for la in layers)
    normalised = sum(2 * la.fan_out for la in layers if la.batch_norm)
    assert weights + normalised + sum(la.fan_out for la in layers if la.bias_init) == count
    assert count == sum(p.numel() for p in Net((depth - 4) // 6, width, 3, 10).parameters())


def configure(make_config, **overrides):
    small = {"model__depth": 10, "model__width": 1, "model__hidden": [], "trainer__epochs": 1}
    return make_config(model="wide_resnet", task="classification", **{**small, **overrides})


def batches(n, seeds=1):
    rng = np.random.default_rng(0)
    for _ in range(n):
        x = torch.from_numpy(rng.normal(size=(seeds, 8, 64)).astype(np.float32))
        y = F.one_hot(torch.from_numpy(rng.integers(10, size=(seeds, 8))), 10).float()
        yield x, y


def test_backpropagation_trains_it_as_torch_does(make_config):
    """Weights, gains, shifts and biases after some steps; in test, running statistics."""
    config = configure(make_config, learning_rule="bp", optimizer="nesterov", optimizer__lr=0.05,
                       trainer__weight_decay=1e-3)  # fmt: skip
    population = population_of(config, [Row(0, config.scalars())], CPU)
    net = Net(1, 1, 1, 10)
    for module, w in zip(net.products(), population.matrices("W"), strict=True):
        module.weight.data = w[0].T.reshape(module.weight.shape).clone()
    net.last.bias.data.zero_()
    settings = {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, **settings)
    for x, y in batches(4):
        output = net(x.view(8, 1, 8, 8))
        torch.testing.assert_close(population.step(x, y)[0], output, rtol=1e-3, atol=1e-4)
        optimizer.zero_grad()
        F.cross_entropy(output, y[0]).backward()
        optimizer.step()
    for module, w in zip(net.products(), population.matrices("W"), strict=True):
        expected = module.weight.data.flatten(1).T
        torch.testing.assert_close(w[0], expected, rtol=1e-3, atol=1e-4)
    net.eval()
    x, _ = next(batches(1))
    torch.testing.assert_close(
        population.outputs(x)[0], net(x.view(8, 1, 8, 8)), rtol=1e-3, atol=1e-3
    )


LAYERS = WideResnet(**SETTINGS, depth=10, width=1).layers((1, 8, 8), 1, 10)
DESCENT = [
    name
    for name in registry.names("learning_rule")
    if issubclass(registry.find("learning_rule", name), DescentRule)
]
SETTINGS_OF = {name: OmegaConf.load(CONF / f"{name}.yaml") for name in DESCENT}
REFUSE = [
    name
    for name in DESCENT
    if registry.build("learning_rule", OmegaConf.to_container(SETTINGS_OF[name])).refusal(LAYERS)
]
RULES = [name for name in DESCENT if name not in REFUSE]


def test_rules_that_send_an_error_meet_every_network():
    assert set(RULES) >= {
        "bp", "fa", "usf", "frsf", "brsf", "kolen_pollack", "weight_mirror",
        "dfa", "drtp", "dkp", "shallow",
    }  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_rows_never_mix_through_normalisation(make_config, rule):
    """Each row is the run alone, one by one and all at once, running statistics included."""
    config = configure(make_config, learning_rule=rule, optimizer="sgd")
    rows = [Row(seed, config.scalars()) for seed in (0, 1)]
    both = population_of(config, rows, CPU)
    [(x, y)] = batches(1, seeds=2)
    both.step(x, y)
    found = both.snapshot(slice(None))
    assert "variance0" in found
    for r in range(2):
        alone = population_of(config, rows[r : r + 1], CPU)
        alone.step(x[r : r + 1], y[r : r + 1])
        for name, tensor in alone.snapshot(slice(None)).items():
            torch.testing.assert_close(found[name][r : r + 1], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_its_inside_is_measured(make_config, rule):
    config = configure(make_config, learning_rule=rule)
    people = population_of(config, [Row(0, config.scalars())], CPU)
    [(x, y)] = batches(1)
    part = people.part(slice(None))
    found = update_alignment(part, x, y) | weight_alignment(people)
    assert all(value.isfinite().all() for name, value in found.items() if "norm" not in name)
    assert ("weight_alignment" in found) == isinstance(config.learning_rule, LayerwiseFeedback)
    if rule == "bp":
        assert found["update_alignment"].item() == pytest.approx(1)


def test_all_rows_at_once_give_what_they_give_one_by_one(make_config, monkeypatch):
    config = configure(make_config, learning_rule="dfa", optimizer="sgd")
    rows = [Row(seed, config.scalars()) for seed in (0, 1)]
    [(x, y)] = batches(1, seeds=2)
    results = []
    for together in (False, True):
        monkeypatch.setattr(
            "fabench.population.population.computes_together", lambda *_, t=together: t
        )
        population = population_of(config, rows, CPU)
        population.step(x, y)
        results.append(population.snapshot(slice(None)))
    for name, tensor in results[0].items():
        torch.testing.assert_close(tensor, results[1][name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", REFUSE)
def test_rules_that_are_not_defined_for_normalised_layers_say_so(make_config, rule):
    with pytest.raises(UserError, match=f"^learning_rule={rule} is not defined for normalised"):
        configure(make_config, learning_rule=rule)
    with pytest.raises(UserError, match=f"^learning_rule={rule} is not defined for sums of layers"):
        make_config(learning_rule=rule, model="residual_mlp", model__hidden=[4, 4, 4])


def test_what_it_cannot_be_is_said(make_config):
    with pytest.raises(UserError, match="^model.depth=12: model=wide_resnet has a depth of 6 n"):
        configure(make_config, model__depth=12)
    with pytest.raises(UserError, match="^model.hidden=.*has no dense layers"):
        configure(make_config, model__hidden=[3])
    with pytest.raises(UserError, match="^model=wide_resnet: convolutions need images"):
        make_config(model="wide_resnet", model__hidden=[], dataset="sparse_parity", task="parity")
