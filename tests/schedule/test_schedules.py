"""Oracles: torch.optim.lr_scheduler, numbers by hand; a training whose rate is set step by step."""

import math

import pytest
import torch
from torch.optim import lr_scheduler

from fabench.population.population import Row
from fabench.run import registry
from fabench.run.trainer import population_of

CPU = torch.device("cpu")
SETTINGS = {
    "constant": {},
    "step": {"gamma": 0.5, "every": 3},
    "exponential": {"gamma": 0.8},
    "inverse_time": {"decay": 0.5},
    "cosine": {"final": 0.1},
    "warmup_cosine": {"warmup": 2.0, "start": 0.25, "final": 0.1},
}
TORCH = {
    "constant": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1.0),
    "step": lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.8),
    "inverse_time": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + 0.5 * epoch)),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 10, 0.1),
    "warmup_cosine": lambda o: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.LinearLR(o, 0.25, 1.0, 2), lr_scheduler.CosineAnnealingLR(o, 8, 0.1)],
        [2],
    ),
}


def build(name):
    return registry.build("schedule", {"name": name, **SETTINGS[name]})


def test_every_schedule_is_here():
    assert SETTINGS.keys() == TORCH.keys() == set(registry.names("schedule"))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", SETTINGS)
def test_an_epochs_first_step_has_torchs_rate(name):
    optimizer = torch.optim.SGD([torch.zeros(1)], 1.0)
    torchs, ours = TORCH[name](optimizer), build(name)
    for epoch in range(10):
        expected = optimizer.param_groups[0]["lr"]
        assert ours.at(7 * epoch + 1, 7, 10) == pytest.approx(expected)
        on_gpu = ours.at(torch.tensor(7.0 * epoch + 1, dtype=torch.float64), 7, 10)
        assert float(on_gpu) == pytest.approx(expected)
        optimizer.step()
        torchs.step()


@pytest.mark.parametrize(
    ("name", "step", "expected"),
    [
        ("step", 3 * 7, 1.0),  # the last one before it falls
        ("step", 3 * 7 + 1, 0.5),
        ("exponential", 4 + 7, 0.8 ** (10 / 7)),  # ten of an epoch's seven steps are done
        ("inverse_time", 4 + 7, 1 / (1 + 0.5 * 10 / 7)),
        ("cosine", 71, 0.1),  # all are done
        ("cosine", 36, 0.1 + 0.9 * (1 + math.cos(math.pi / 2)) / 2),
        ("warmup_cosine", 8, 0.25 + 0.75 / 2),
        ("warmup_cosine", 15, 1.0),
        ("warmup_cosine", 71, 0.1),
    ],
)
def test_a_step_between(name, step, expected):
    assert build(name).at(step, 7, 10) == pytest.approx(expected)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_training_is_that_with_the_rate_of_each_step(make_config, optimizer):
    """Every row has its own rate, and weight decay that falls with it."""
    settings = {
        "optimizer": optimizer, "model__bias": True, "trainer__epochs": 4,
        "trainer__weight_decay": 0.1,
    }  # fmt: skip
    plain = make_config(**settings)
    config = make_config(**settings, schedule="cosine", schedule__final=0.1)
    assert config.steps(1) == 3  # 40 examples in batches of 16
    rows = [Row(s, {**config.scalars(), "optimizer.lr": lr}) for s, lr in ((0, 0.1), (1, 0.4))]
    people = population_of(config, rows, CPU)
    schedule, rng = config.schedule, torch.Generator().manual_seed(0)
    other = population_of(plain, rows, CPU)
    for t in range(1, 13):
        x = torch.randn(2, 16, 192, generator=rng)
        y = (torch.rand(2, 16, 1, generator=rng) < 0.5).float()
        people.step(x, y)
        for part, row in zip(other._parts, rows, strict=True):
            part.scalars.lr = row.scalars["optimizer.lr"] * schedule.at(t, 3, 4)
        other.step(x, y)
    for name, value in people.trained().items():
        torch.testing.assert_close(value, other.trained()[name])
    unchanged = population_of(plain, rows, CPU)
    assert not torch.allclose(people.tensors["W0"], unchanged.tensors["W0"])


def test_rates_follow_epochs_with_validation_data_too(make_config):
    """A sixth of the digits is held out: 1198 of 1437 train."""
    config = make_config(
        trainer__evaluate_on="validation", trainer__train_examples=None, trainer__batch_size=100
    )
    assert config.steps(1) == 12


def test_only_where_no_length_is_looked_at_a_run_begins_as_a_shorter_one(make_config):
    for name in SETTINGS:
        short, long = (
            make_config(schedule=name, trainer__epochs=epochs).course() for epochs in (2, 5)
        )
        assert (short == long) == ("cosine" not in name)
