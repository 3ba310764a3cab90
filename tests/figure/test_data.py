"""What figures are made from: every setting beside the metrics, kept so that it says all.

Oracles: the run's own files; the tables and figures that were made and committed.
"""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fabench.command import cli, figures
from fabench.figure.data import dataframe, kept, read
from fabench.run.execute import execute
from fabench.run.store import RunFolder
from fabench.schema import UserError

OUTPUTS = Path(__file__).parents[2] / "outputs"
RECIPES = figures.recipes()
KEPT = {file.stem: file for file in sorted(OUTPUTS.glob("data/*.csv"))}
SOURCES = {
    name: getattr(recipe, "FIGURES", (name,))
    for name, recipe in RECIPES.items()
    if not hasattr(recipe, "FROM_RUNS")
}
"""Of every recipe, the figures whose data it is made from."""
DRAWN = [name for name, sources in SOURCES.items() if set(sources) <= KEPT.keys()]


def test_the_dataframe_has_every_setting_beside_the_metrics(make_config, tmp_path):
    config = make_config(
        task="random_labels", task__p=0.25, model__hidden=[5, 3], output_dir=str(tmp_path),
        trainer__frozen_layers=[1], trainer__train_examples=None, optimizer="momentum",
    )  # fmt: skip
    folder = RunFolder(config)
    folder.path.mkdir(parents=True)
    folder.write_metrics(pd.DataFrame({"seed": [0, 1], "epoch": [0, 0], "test_accuracy": [0, 1]}))
    frame = dataframe([config], {config.identity(): "fig_3_1", "another": "fig_3_2"})
    assert (frame.experiment == "fig_3_1").all()
    assert frame.test_accuracy.tolist() == [0, 1]
    names = {"learning_rule": "dfa", "optimizer": "momentum", "dataset": "digits"}
    settings = {"p": 0.25, "hidden": "[5, 3]", "frozen_layers": "[1]", "momentum": 0.9, "epochs": 2}
    others = {"weight_scale": 1.0, "weight_decay": 0.0, "k": 3, "folder": str(folder.path)}
    for key, value in {**names, **settings, **others}.items():
        assert frame[key].tolist() == [value, value], key
    assert "train_examples" not in frame


def test_what_is_kept_tells_small_numbers_and_small_angles(tmp_path):
    """Oracle: the numbers themselves."""
    small, cosines = np.array([3.0e-9, 0.2, 12345.0]), np.cos([1e-4, 1e-2, 2.0])
    file = tmp_path / "some.csv"
    frame = kept(pd.DataFrame({"small": small, "update_alignment": cosines}), file)
    np.testing.assert_allclose(frame.small, small, rtol=1e-5)
    np.testing.assert_allclose(np.arccos(frame.update_alignment), [1e-4, 1e-2, 2.0], rtol=1e-3)
    assert "3e-09,0.999999995\n" in file.read_text()


def test_hundreds_of_metrics_are_no_burden(make_config, tmp_path):
    """pandas warns of tables that are put together column by column."""
    deep = make_config(model__hidden=[2] * 60, trainer__epochs=1, output_dir=str(tmp_path))
    [outcome] = execute([deep], "a test")
    frame = dataframe([deep])
    assert frame.shape[1] > 200
    pd.testing.assert_series_equal(frame.signal_norm_60, outcome.folder.metrics().signal_norm_60)


def test_what_is_kept_says_all(tmp_path):
    frame = pd.DataFrame(
        {
            "seed": [0, 1], "test_accuracy": [0.12345678, np.nan], "hidden": ["[5, 3]", "[]"],
            "lr": [1e-30, 3e38], "variant": [None, "midpoint"], "bias": [True, False],
            "train_examples": [1234567, None], "word": ["None", "nan"],
        }
    )  # fmt: skip
    file = tmp_path / "data" / "a.csv"
    back = kept(frame, file)
    pd.testing.assert_frame_equal(back, frame, rtol=1e-5)
    pd.testing.assert_frame_equal(read(file), back)
    assert back.train_examples[0] == 1234567
    assert back.test_accuracy[0] == 0.123457


@pytest.mark.parametrize("content", [None, "", 'a\n"'])
def test_data_that_is_not_there_is_said(tmp_path, content):
    file = tmp_path / "a.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=f"^{file} cannot be read .*: leave --from-data out"):
        read(file)


def test_data_that_lacks_what_is_drawn_is_said_and_the_next_figure_made(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    file = Path("outputs/data/fig_encoders.csv")
    file.parent.mkdir(parents=True)
    file.write_text("a,b\n1,2\n")
    assert cli.main(["figures", "fig_encoders", "fig_c_1", "--from-data"]) == 1
    out, err = capsys.readouterr()
    assert f"fig_encoders: not made: {file} lacks what is drawn" in out
    assert "fig_c_1: outputs/figures/fig_c_1.png" in out
    assert "1 of 2 figures" in err and not list(tmp_path.glob("outputs/*/fig_encoders.*g"))


def test_a_recipe_of_others_runs_has_their_data_each_run_once(make_config, tmp_path):
    config = make_config(output_dir=str(tmp_path))
    recipe = SimpleNamespace(EXPERIMENTS=("a", "b"), FIGURES=("a", "b"))
    parts = {"a": ["run", "own"], "b": ["run"]}
    frames = {
        name: pd.DataFrame({"folder": np.repeat(folders, 2), "seed": 0})
        for name, folders in parts.items()
    }
    for name, frame in frames.items():
        frame["epoch"], frame["experiment"] = [0, 1] * len(parts[name]), name
        kept(frame, tmp_path / "data" / f"{name}.csv")
    read_again = figures._data("both", recipe, config, None)
    pd.testing.assert_frame_equal(read_again, frames["a"], check_dtype=False)
    figures._data("both", recipe, config, frames["a"])
    assert not (tmp_path / "data/both.csv").exists()


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_committed_is_drawn_from_its_data(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "data").mkdir(parents=True)
    shutil.copytree(OUTPUTS / "tune", tmp_path / "outputs" / "tune")  # what searches have tried
    for source in SOURCES[name]:
        shutil.copy(KEPT[source], tmp_path / "outputs" / "data")
    assert cli.main(["figures", name, "--from-data"]) == 0, capsys.readouterr()
    [caption] = tmp_path.glob(f"outputs/*/{name}.json")
    committed = OUTPUTS / caption.parent.name / caption.name
    now, then = (json.loads(file.read_text()) for file in (caption, committed))
    assert now["seeds"] == then["seeds"] and sorted(now["runs"]) == sorted(then["runs"])
    if (table := caption.with_suffix(".csv")).exists():
        pd.testing.assert_frame_equal(
            pd.read_csv(table), pd.read_csv(committed.with_suffix(".csv")), rtol=1e-4
        )
