"""Tuning: which values are tried, what is scored, on which images, and what is kept.

Oracles: grids worked out by hand, a made-up score with a known peak, pandas.
"""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from fabench import cli
from fabench.statistics import summarize
from fabench.tune import EXTENSIONS, Score, Search, next_grid

TINY = [
    "dataset=digits",
    "trainer.device=cpu",
    "trainer.epochs=3",
    "trainer.batch_size=64",
    "trainer.test_examples=100",
    "model.hidden=[8]",
    "k=1",
    "tune.last_epochs=2",
]


def search(**changes):
    defaults = {
        "key": "optimizer.lr", "values": None, "span": 10.0, "points": 3, "refinements": 1,
        "split": "validation", "last_epochs": 10, "save": True,
    }  # fmt: skip
    return Search(**{**defaults, **changes})


def scores(accuracy_of_value, diverged=()):
    return [
        Score(value, summarize([accuracy]), int(value in diverged))
        for value, accuracy in accuracy_of_value.items()
    ]


def test_first_grid_is_log_spaced_around_the_centre():
    assert search(points=5, span=100.0).first_grid(0.02) == [0.0002, 0.002, 0.02, 0.2, 2.0]
    assert search(values=[3.0, 1.0]).first_grid(0.02) == [1.0, 3.0]


def test_inside_the_grid_is_refined_to_geometric_midpoints():
    assert next_grid(scores({0.01: 0.6, 0.1: 0.9, 1: 0.7}), 1, 4) == [0.0316, 0.316]
    assert next_grid(scores({0.01: 0.6, 0.1: 0.9, 1: 0.7}), 0, 4) == []


@pytest.mark.parametrize(
    "peak, grid", [(0.01, [0.001, 0.0001]), (1, [10, 100])], ids=["low edge", "high edge"]
)
def test_an_edge_is_extended(peak, grid):
    found = scores({value: 0.9 if value == peak else 0.6 for value in (0.01, 0.1, 1)})
    assert next_grid(found, 1, 1) == grid
    assert next_grid(found, 1, 0) == []


def test_a_diverging_value_is_no_winner():
    found = scores({0.01: 0.6, 0.1: 0.8, 1: 0.95}, diverged=[1])
    assert next_grid(found, 1, 4) == [0.0316, 0.316]  # 0.1 is the best, and inside


@pytest.fixture
def tune(workdir, tmp_path, monkeypatch, capsys):
    """``fabench tune ARGS`` with a copy of conf/ to write to: exit code, stdout, stderr."""
    conf = tmp_path / "conf"
    shutil.copytree(cli.conf_dir(), conf, ignore=shutil.ignore_patterns("tuned"))
    monkeypatch.setattr(cli, "conf_dir", lambda: conf)

    def call(*overrides, verb="tune"):
        code = cli.main([verb, *TINY, *overrides])
        return code, *capsys.readouterr()

    return call


def test_the_score_is_the_mean_of_the_last_epochs_on_held_out_images(tune, tmp_path):
    code, out, _ = tune("tune.values=[0.01,0.1,1000]")
    assert code == 0
    assert "Chosen on validation data: optimizer.lr=" in out
    found = pd.read_csv(next(tmp_path.glob("outputs/tune/*/tune.csv")))
    assert next(tmp_path.glob("outputs/tune/*/tune.png")).exists()
    for _, row in found.iterrows():
        [run] = tmp_path.glob(f"outputs/runs/*_lr{row['optimizer.lr']:g}-*")
        metrics = pd.read_csv(run / "metrics.csv")
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert config["trainer"]["evaluate_on"] == "validation"
        expected = metrics[metrics.epoch.isin([2, 3])].groupby("seed").test_accuracy.mean()
        assert row.score_mean == pytest.approx(expected.mean())
        assert row.score_sd == pytest.approx(expected.std())
    fit = found[found.diverged == 0]
    best = fit.loc[fit.score_mean.idxmax(), "optimizer.lr"]
    kept = tmp_path / "conf/tuned/digits_parity_dfa_sgd_uniform.yaml"
    assert yaml.safe_load(kept.read_text()) == {"optimizer": {"lr": pytest.approx(best)}}
    assert "chosen on validation data" in kept.read_text()


def test_runs_start_from_what_was_kept_and_overrides_win(tune, tmp_path, capsys):
    (tmp_path / "conf/tuned").mkdir()
    kept = tmp_path / "conf/tuned/digits_parity_dfa_adam_gaussian.yaml"
    kept.write_text("# @package _global_\n# A test.\noptimizer:\n  lr: 0.0123\n")

    def lr(*overrides):
        _, out, _ = tune("--cfg", "job", *overrides, verb="run")
        return yaml.safe_load(out)["optimizer"]["lr"]

    TINY.remove("tune.last_epochs=2")
    try:
        assert lr("optimizer=adam", "init_of_B=gaussian") == 0.0123
        assert lr("optimizer=adam", "init_of_B=gaussian", "optimizer.lr=0.5") == 0.5
        assert lr("optimizer=adam") == 6e-4
    finally:
        TINY.append("tune.last_epochs=2")


def test_the_thesis_choice_is_labelled(tune, tmp_path):
    code, out, _ = tune("tune.split=test", "tune.values=[0.01,0.1,10]", "tune.refinements=0")
    assert code == 0
    assert "Chosen on TEST data, as the thesis did" in out
    assert "chosen on test data" in next(tmp_path.glob("conf/tuned/*.yaml")).read_text()


def test_short_runs_are_not_kept(tune, tmp_path):
    code, out, _ = tune("trainer.train_examples=128", "tune.values=[0.01,0.1,10]")
    assert code == 0
    assert "Not kept" in out
    assert not (tmp_path / "conf/tuned").exists()


def test_every_value_is_trained_once_and_a_second_call_trains_nothing(tune, tmp_path):
    tune("tune.values=[0.01,0.1,10]")
    first = {path: path.stat().st_mtime_ns for path in tmp_path.glob("**/checkpoint.pt")}
    _, out, _ = tune("tune.values=[0.01,0.1,10]")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("**/checkpoint.pt")} == first
    assert "population" not in out


def test_an_edge_that_never_ends_is_said(tune, monkeypatch):
    monkeypatch.setattr("fabench.tune.execute", lambda configs, command: [])
    asked = []

    def climbing(raw, search, grid, command):
        asked.append(grid)
        return [Score(value, summarize([np.log(value)]), 0) for value in grid]

    monkeypatch.setattr("fabench.tune._scores", climbing)
    code, _, err = tune("tune.values=[1,2]")
    assert code == 1
    assert "still the grid's edge" in err
    assert len(asked) == 1 + EXTENSIONS
    assert asked[1] == [4, 8]


@pytest.mark.parametrize(
    "override, key",
    [
        ("tune.key=optimizer.rl", "tune.key=optimizer.rl"),
        ("tune.key=learning_rule.name", "tune.key=learning_rule.name"),
        ("tune.points=1", "tune.points=1"),
        ("tune.values=[0.1]", "tune.values"),
        ("tune.split=train", "tune.split=train"),
        ("+tune.foo=1", "tune.foo"),
    ],
)
def test_wrong_requests(tune, override, key):
    code, _, err = tune(override)
    assert code == 2
    assert key in err
    assert "Traceback" not in err
