"""Axes: R rows, N examples, C outputs."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from fabench.command import cli
from fabench.figure.run_plots import nse
from fabench.figure.sweep_plot import sweep_plot
from fabench.population.metrics import Score
from fabench.run.parsing import parse
from fabench.run.registry import build
from fabench.run.summary import summary
from fabench.schema import UserError

REGRESSION = build("task", {"name": "regression", "n_targets": 3})
ARGS = [
    "task=regression", "dataset=linear_teacher", "learning_rule=bp", "model.hidden=[]",
    "trainer.batch_size=10", "trainer.device=cpu", "trainer.epochs=2", "seed=[0,1]",
]  # fmt: skip


def test_what_it_says_of_itself(make_config):
    config = make_config(task="regression", dataset="nonlinear_teacher")
    assert (config.task.items_per_example, config.task.n_outputs, config.task.chance) == (1, 10, 1)
    assert (config.layers()[0].fan_in, config.layers()[-1].fan_out) == (30, 10)
    assert parse(config.resolved()) == config
    other = make_config(task="regression", dataset="nonlinear_teacher", k=5)
    assert config.name() == other.name()
    assert "k3" not in config.name() and config.problem == "nonlinear_teacher, regression"


@pytest.mark.parametrize(
    ("dataset", "task"),
    [("digits", "regression"), ("clusters", "regression"), ("linear_teacher", "parity"),
     ("nonlinear_teacher", "classification"), ("linear_teacher", "random_labels")],
)  # fmt: skip
def test_teachers_and_regression_belong_together(make_raw, dataset, task):
    with pytest.raises(UserError, match=rf"^dataset={dataset}, task={task}: .*linear_teacher"):
        parse(make_raw(dataset=dataset, task=task))


def test_the_normalized_squared_error_follows_its_definition():
    """In batches of unequal size; each run has its own targets, far from zero."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(2, 10, 3)) * np.array([1, 5, 0.1]) + np.array([7, 0, -3])
    a = y + rng.normal(size=y.shape)
    score = Score(2, torch.device("cpu"))
    for part in (slice(0, 7), slice(7, 10)):
        output, target = torch.from_numpy(a[:, part]), torch.from_numpy(y[:, part])
        score.add(REGRESSION, output, target)
    found = score.metrics("test", REGRESSION.variance(torch.from_numpy(y)))
    assert list(found) == ["test_loss", "test_nse"]
    for r in range(2):
        error = sum((a[r, n, c] - y[r, n, c]) ** 2 for n in range(10) for c in range(3))
        deviation = sum((y[r, n, c] - y[r, :, c].mean()) ** 2 for n in range(10) for c in range(3))
        assert found["test_nse"][r] == pytest.approx(error / deviation, rel=1e-6)
        assert found["test_loss"][r] == pytest.approx(error / 20, rel=1e-6)


def test_the_mean_of_the_targets_has_an_error_of_one():
    y = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 50, 3)))
    score = Score(1, torch.device("cpu"))
    score.add(REGRESSION, y.mean(1, keepdim=True).expand_as(y), y)
    assert score.metrics("test", REGRESSION.variance(y))["test_nse"].item() == pytest.approx(1)


def test_a_diverged_run_has_no_error():
    score = Score(2, torch.device("cpu"))
    score.add(REGRESSION, torch.tensor([torch.inf, 1.0]).view(2, 1, 1), torch.zeros(2, 1, 1))
    found = score.metrics("test", torch.ones(2))["test_nse"]
    assert found.isnan().tolist() == [True, False]


# -- In training -----------------------------------------------------------------------------


def test_a_linear_network_becomes_its_teacher(workdir, tmp_path, capsys):
    assert cli.main(["run", *ARGS, "optimizer.lr=0.03"]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "epoch 2/2  NSE: train" in out and "test NSE" in out and "accuracy" not in out
    [folder] = tmp_path.glob("outputs/runs/*")
    assert folder.name.startswith("bp_sgd_linear_teacher_regression_lr0.03-")
    assert [file.name for file in (folder / "plots").iterdir()] == ["nse.png"]
    found = json.loads((folder / "summary.json").read_text())
    assert max(found["final"]["test_nse"]["per_seed"].values()) < 1e-3
    assert found["best_epoch"]["epoch"] == 2
    assert "test_accuracy_of_class" not in found
    metrics = pd.read_csv(folder / "metrics.csv")
    assert not [name for name in metrics if "accuracy" in name]
    before = metrics[metrics.epoch == 0]
    assert (before.test_nse > 0.9).all()
    [T] = build("dataset", {"name": "linear_teacher", "n_train": 1, "n_test": 1}).weights(1)
    tensors = torch.load(folder / "checkpoint.pt", weights_only=True)["tensors"]
    np.testing.assert_allclose(tensors["W0"][1], T, atol=0.02)


def test_the_best_epoch_has_the_smallest_error():
    table = pd.DataFrame(
        {"seed": seed, "epoch": epoch, "test_nse": error, "diverged": 0}
        for seed, errors in enumerate(([0.9, 0.2, 0.6], [0.8, 0.7, 0.1]))
        for epoch, error in enumerate(errors)
    )
    best = summary(table)["best_epoch"]
    assert best["per_seed"]["0"] == {"epoch": 1, "test_nse": 0.2}
    assert best["per_seed"]["1"] == {"epoch": 2, "test_nse": 0.1}
    assert best["epoch"] == 2 and best["test_nse_mean"] == pytest.approx(0.35)


def test_the_plot_shows_both_errors(make_config):
    metrics = pd.DataFrame(
        {"seed": [0, 1] * 3, "epoch": [0, 0, 1, 1, 2, 2], "diverged": 0}
        | {f"{split}_nse": [1, 0.9, 0.1, 0.2, 1e-3, 2e-3] for split in ("train", "test")}
    )
    config = make_config(task="regression", dataset="linear_teacher")
    [axes] = nse(metrics, config).axes
    assert axes.get_yscale() == "log" and axes.get_ylabel() == "normalized squared error"
    curves = {line.get_label(): line.get_ydata() for line in axes.lines}
    for label in ("train", "test"):
        np.testing.assert_allclose(curves[label], [0.95, 0.15, 1.5e-3])


def test_a_sweep_puts_the_smallest_error_first(workdir, tmp_path, capsys):
    assert cli.main(["run", "-m", *ARGS, "optimizer.lr=1e-4,0.03,1e-3"]) == 0
    assert "test NSE" in capsys.readouterr().out
    [file] = tmp_path.glob("outputs/sweeps/*/sweep.csv")
    found = pd.read_csv(file)
    assert found["optimizer.lr"].tolist() == [0.03, 1e-3, 1e-4]
    assert found.test_nse_mean.is_monotonic_increasing
    [axes] = sweep_plot(found, ["optimizer.lr"]).axes
    assert axes.get_ylabel().startswith("test normalized squared error, last epoch")
    assert sweep_plot(found.assign(k=1), ["optimizer.lr", "k"]) is not None
    assert sweep_plot(found.assign(rule="bp"), ["rule"]) is not None


def test_tuning_takes_the_smallest_error(workdir, tmp_path, capsys):
    search = {"values": [1e-4, 1e-3, 0.03, 3.0], "refinements": 0}
    args = [f"search.{key}={json.dumps(value)}" for key, value in search.items()]
    assert cli.main(["tune", *ARGS, *args, "tune.save=false"]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "validation -NSE" in out and "optimizer.lr=0.03" in out
    [folder] = tmp_path.glob("outputs/tune/*")
    assert folder.name == "linear_teacher_regression_bp_sgd_uniform"
    found = pd.read_csv(folder / "tune.csv").set_index("optimizer.lr")
    assert found.diverged.tolist() == [0, 0, 0, 2]
    assert found.score_mean[0.03] > found.score_mean[1e-3] > found.score_mean[1e-4] > -1.1


def test_a_single_target_has_no_variance_to_measure_by():
    y = torch.ones(1, 1, 3)
    score = Score(1, torch.device("cpu"))
    score.add(REGRESSION, 2 * y, y)
    assert score.metrics("test", REGRESSION.variance(y))["test_nse"].isnan()
