"""A GPU trains as a CPU does: every rule, optimizer and kind of layer. Skipped where there is none.

Both draw the same networks and the same data; products are in float32 on both.
"""

import os
import signal

import pandas as pd
import pytest
import torch

from fabench.command import cli
from fabench.learning_rule.base.rule import DescentRule
from fabench.population import descent
from fabench.population.examples import Examples
from fabench.population.loop import Loop
from fabench.population.metrics import evaluate, network_metrics
from fabench.population.population import Row
from fabench.run import registry
from fabench.run.store import TIMES
from fabench.run.trainer import population_of

DESCENT = [
    name
    for name in registry.names("learning_rule")
    if issubclass(registry.find("learning_rule", name), DescentRule)
]

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


def loop(config, device, n_rates=1):
    """Networks of every seed at ``n_rates`` learning rates."""
    rows = [
        Row(seed, {**config.scalars(), "optimizer.lr": config.optimizer.lr / (1 + i)})
        for i in range(n_rates)
        for seed in config.seeds
    ]
    people = population_of(config, rows, torch.device(device))
    seeds = [row.seed for row in rows]
    data = config.dataset.load()
    examples = Examples(data, config.task, seeds, people.device, people.operand)
    return Loop(people, examples, config.trainer.batch_size)


def assert_trains_alike(config, n_rates=1, rtol=1e-3, atol=2e-4):
    """Two epochs of five batches and a short one; then every measurement."""
    ours, theirs = loop(config, "cuda", n_rates), loop(config, "cpu", n_rates)
    drawn = theirs.population.matrices("W")[-1].clone()
    for each in (ours, theirs):
        for number in (1, 2):
            assert list(each.run(each.examples.epoch("train", number, 85))) == [*[16] * 5, 5]
    assert ours.population.steps == theirs.population.steps == 12
    assert (theirs.population.matrices("W")[-1] - drawn).abs().max() > 1e-3
    for name, w in theirs.population._changing().items():
        found = ours.population._changing()[name].cpu()
        torch.testing.assert_close(
            found, w, rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}"
        )
    scores = []
    for people, examples, score in (
        (each.population, each.examples, each.score) for each in (ours, theirs)
    ):
        test, train = examples.epoch("test", 2), examples.epoch("train", 2, 85)
        tested, inside = evaluate(people, examples, test), network_metrics(people, examples, train)
        scores.append({**score.metrics("train"), **tested.metrics("test"), **inside})
    assert scores[0].keys() == scores[1].keys()
    for name, values in scores[1].items():
        accuracy = 0.02 if name in ("train_accuracy", "test_accuracy") else 0
        torch.testing.assert_close(
            scores[0][name], values, rtol=1e-2, atol=2e-3 + accuracy, equal_nan=True,
            msg=lambda m, n=name: f"{n}: {m}",
        )  # fmt: skip


BASE = {
    "k": 1, "trainer__device": "auto", "trainer__precision": "fp32", "model__hidden": [9, 7],
    "model__activation": "tanh", "optimizer__lr": 0.05,
}  # fmt: skip


@pytest.fixture
def config(make_config):
    def make(**settings):
        return make_config(**{**BASE, **settings})

    return make


@pytest.mark.parametrize("rule", DESCENT)
def test_every_rule(make_fitting, rule):
    assert_trains_alike(make_fitting(rule, **BASE, model__bias=True))


def tamed(config, optimizer, **settings):
    """Steps as large as the gradients, not as their signs, which rounding may turn."""
    lr = {"adadelta": 1.0, "sgd": 0.1}.get(optimizer, 0.01)
    if hasattr(config(optimizer=optimizer).optimizer, "epsilon"):
        settings["optimizer__epsilon"] = 1e-3
    return config(optimizer=optimizer, optimizer__lr=lr, **settings)


@pytest.mark.parametrize("optimizer", registry.names("optimizer"))
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_every_optimizer(config, optimizer, weight_decay):
    settings = tamed(config, optimizer, trainer__weight_decay=weight_decay)
    assert_trains_alike(settings, n_rates=3)
    assert_trains_alike(settings)


@pytest.mark.parametrize("optimizer", [n for n in registry.names("optimizer") if n != "sgd"])
def test_every_compiled_update(config, monkeypatch, optimizer):
    monkeypatch.setitem(descent.COMPILES_FROM, "cuda", 0)
    monkeypatch.setattr(descent, "PAYS_FROM", 0)
    made = tamed(config, optimizer)
    assert loop(made, "cuda").population.descent.compiled is not None
    assert_trains_alike(made, n_rates=3)


@pytest.mark.parametrize(
    "settings",
    [
        {"task": "classification", "model": "convnet"},
        {"task": "classification", "model__hidden_dropout": 0.5, "model__input_dropout": 0.2},
        {"task": "classification", "trainer__adversarial": 0.1, "dataset__scaling": "unit"},
        {"task": "regression", "dataset": "linear_teacher", "optimizer__lr": 0.001},
        {"dataset": "sparse_parity", "k": 2},
        {"dataset__crop": 2, "dataset__flip": True, "dataset__scaling": "standardized_per_channel"},
    ],
    ids=["convolutions", "dropout", "adversarial", "regression", "drawn vectors", "augmentation"],
)
def test_every_kind_of_task_and_layer(config, settings):
    if settings.get("model") == "convnet":
        settings = {**settings, "model__hidden": [7]}
    assert_trains_alike(config(**settings))


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_rounded_operands_end_near(config, precision):
    settings = {"optimizer": "adam", "optimizer__lr": 0.01, "optimizer__epsilon": 1e-3}
    rounded = loop(config(trainer__precision=precision, **settings), "cuda")
    exact = loop(config(**settings), "cpu")
    for each in (rounded, exact):
        for number in (1, 2):
            list(each.run(each.examples.epoch("train", number, 85)))
    for name, w in exact.population.trained().items():
        moved = (rounded.population.trained()[name].cpu() - w).norm()
        assert moved < 0.1 * w.norm(), name


RUN = [
    "run", "dataset=digits", "optimizer=adam", "trainer.epochs=4", "model.hidden=[9]", "k=1",
    "trainer.batch_size=100", "trainer.precision=fp32",
]  # fmt: skip


def test_a_run_a_sweep_and_a_continued_run_agree(workdir, tmp_path, monkeypatch):
    """With each other to the last digits, with the CPU within rounding."""

    def run(name, *overrides):
        assert cli.main([*RUN, f"output_dir={name}", *overrides]) == 0
        paths = (tmp_path / name / "runs").glob("*_lr0.01-*/metrics.csv")
        (table,) = [pd.read_csv(path).drop(columns=TIMES) for path in paths]
        return table

    alone = run("alone", "optimizer.lr=0.01")
    cpu = run("cpu", "optimizer.lr=0.01", "trainer.device=cpu")
    pd.testing.assert_frame_equal(alone, cpu, rtol=1e-2, atol=1e-2)
    sweep = run("sweep", "-m", "optimizer.lr=0.01,0.02")
    pd.testing.assert_frame_equal(sweep, alone, rtol=1e-3, atol=1e-3)

    go = Loop.run

    def stop(self, *args):
        for n in go(self, *args):
            yield n
            if self.population.steps == 20:  # in the second epoch
                os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as stopping:
        stopping.setattr(Loop, "run", stop)
        assert cli.main([*RUN, "output_dir=continued", "optimizer.lr=0.01"]) == 130
    continued = run("continued", "optimizer.lr=0.01")
    pd.testing.assert_frame_equal(continued, alone, rtol=1e-5)
