"""What a device without float64 needs; here is none, so a CPU's step is watched in its place."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fabench.population import population
from fabench.population.population import Row
from fabench.population.precision import where_float64_is
from fabench.run.execute import execute
from fabench.run.trainer import population_of


class Float64(TorchDispatchMode):
    """Counts the operations that make float64 tensors."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.count += isinstance(made, torch.Tensor) and made.dtype == torch.float64
        return made


STEPS = {
    "signal": {
        "learning_rule": "dfa", "optimizer": "nadam", "optimizer__momentum_schedule": "dozat",
    },
    "learned feedback": {"learning_rule": "weight_mirror", "trainer__gradient_noise": 0.1},
    "settling": {"learning_rule": "equilibrium_propagation"},
    "search": {"learning_rule": "genetic_algorithm"},
    "regularised": {
        "learning_rule": "bp", "model__batch_norm": True, "model__hidden_dropout": 0.5,
        "trainer__adversarial": 0.1, "trainer__clip_norm": 1.0, "trainer__weight_decay": 0.1,
    },
    "parallel": {"learning_rule": "bp", "optimizer": "adagrad", "parallel": "hogwild"},
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_a_step_makes_no_float64_but_its_number(make_config, monkeypatch, step):
    monkeypatch.setattr(population, "computes_together", lambda *_: True)
    now = property(lambda people: max(people.steps, 1))
    monkeypatch.setattr(population.Population, "_now", now)
    config = make_config(task="classification", k=1, **STEPS[step])
    rows = [Row(seed, config.scalars()) for seed in range(2)]
    people = population_of(config, rows, torch.device("cpu"))
    x, y = torch.rand(2, 8, 64), torch.eye(10)[torch.arange(16).view(2, 8) % 10]
    with Float64() as made:
        people.step(x, y)
        people.step(x, y)
    assert made.count == 2


def test_a_tensor_goes_where_float64_is():
    moved = object()
    there = SimpleNamespace(device=torch.device("mps"), cpu=lambda: moved)
    assert where_float64_is(there) is moved
    here = torch.ones(2)
    assert where_float64_is(here) is here


ERRORS = {
    "operator": NotImplementedError(
        "The operator 'aten::x' is not currently implemented for the MPS device. If you want"
    ),
    "type": TypeError("Cannot convert a MPS Tensor to float64 dtype as MPS has none. Use float32"),
}


@pytest.mark.parametrize("error", ERRORS)
def test_what_it_cannot_do_is_said_in_a_sentence(make_config, monkeypatch, workdir, error):
    def fail(*args):
        raise ERRORS[error]

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr("fabench.run.trainer.Training.__init__", fail)
    [outcome] = execute([make_config(trainer__device="mps", trainer__precision="fp32")], "test")
    said = str(outcome.error)
    assert said.startswith("trainer.device=mps cannot train this run (")
    assert "MPS" in said and said.endswith("): use cpu.") and ". " not in said
    with pytest.raises(type(ERRORS[error])):
        execute([make_config(trainer__device="cpu")], "test")
