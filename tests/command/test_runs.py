"""``fabench ls``, ``show``, ``compare``, ``rm`` and ``watch`` beside runs of known numbers.

Oracles: metrics.csv, scipy's paired t-test, composing the settings that are shown.
"""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose
from scipy.stats import ttest_rel

from fabench.command import cli, hydra_app, runs
from fabench.command.defaults import overrides
from fabench.command.overrides import checked
from fabench.run.catalogue import entries
from fabench.run.parsing import parse
from fabench.run.store import RunFolder

pytestmark = pytest.mark.usefixtures("workdir")
CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def fabench(capsys):
    """``fabench ARGS``, which succeeds: the lines that it prints."""

    def call(*args):
        assert cli.main(args) == 0, capsys.readouterr().err
        return capsys.readouterr().out.splitlines()

    return call


@pytest.fixture
def two(put_run):
    """The folders of two runs of three seeds, two of which they share."""
    tiny = {"k": 1, "optimizer__lr": 0.1}
    bp = put_run(accuracies=(0.5, 0.7, 0.8), seed=[0, 1, 2], learning_rule="bp", **tiny)
    dfa = put_run(
        accuracies=(0.3, 0.6, 0.9), seed=[1, 2, 3], stopped="2026-02-01T00:00:00+00:00", **tiny
    )
    return [bp.path, dfa.path]


def cells(lines):
    return [
        [cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]]
        for line in lines
        if line[:1] in "│┃"
    ]


def test_ls_has_a_line_for_every_run(fabench, two):
    titles, *rows = cells(fabench("ls"))
    assert titles == [
        "age", "rule", "optimizer", "problem", "seeds", "epoch", "status", "test accuracy %", "run",
    ]  # fmt: skip
    for row, folder, rule in zip(rows, two, ("bp", "dfa"), strict=True):
        frame = pd.read_csv(folder / "metrics.csv")
        mean = frame[frame.epoch == 2].test_accuracy.mean()
        assert row[1:7] == [rule, "sgd", "digits, parity, k=1", "3", "2", "finished"]
        assert row[7].startswith(f"{100 * mean:.2f} ± ") and folder.name.endswith(row[8])
    assert cells(fabench("ls", "learning_rule=dfa"))[1:] == rows[1:]
    assert fabench("ls", "k=2") == fabench("ls", "output_dir=nowhere") == [runs.NO_RUN]


def test_what_is_not_known_of_a_run_is_a_dash(fabench, two):
    (two[0] / "config.yaml").write_text("{")
    (two[0] / "metrics.csv").unlink()
    (two[1] / "metrics.csv").unlink()
    _, one, other = cells(fabench("ls"))
    assert one[1:7] == ["-", "-", "-, -", "0", "-", "damaged"]
    assert other[5:7] == ["-/2", "damaged"]


def test_show_says_how_to_have_it_again(fabench, two):
    lines = fabench("show", two[0].name)
    told = dict(line.split(maxsplit=1) for line in lines if line[:1] not in "│┃┏┡├└")
    assert told["folder"] == str(two[0])
    assert told["status"].startswith("finished, epoch 2, ")
    assert told["command"].startswith("fabench run")
    with hydra_app.composing(CONF):
        given = [checked(word, CONF) for word in shlex.split(told["settings"])]
        config = parse(hydra_app.plain(compose("config", given)))
    assert config.name() == two[0].name
    assert [row[0] for row in cells(lines)] == ["seed", "0", "1", "2", "mean"]


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "wide_resnet", "task": "classification", "dataset": "cifar10",
         "model__hidden": []},
        {"schedule": "cosine", "parallel": "hogwild", "trainer__clip_norm": 1.5},
        {"learning_rule": "local_search", "seed": [7], "dataset": "shapes", "k": 1,
         "task": "classification", "trainer__curriculum": "easy_first",
         "trainer__curriculum_by": "variety"},
    ],
    ids=str,
)  # fmt: skip
def test_settings_as_overrides_are_the_run(make_config, settings):
    folder = RunFolder(make_config(**settings))
    folder.path.mkdir(parents=True)
    folder.write_config()
    [entry] = entries("outputs")
    words = overrides(entry.settings, CONF)
    with hydra_app.composing(CONF):
        composed = compose("config", [checked(word, CONF) for word in words])
        assert parse(hydra_app.plain(composed)).name() == folder.path.name


def test_compare_pairs_common_seeds(fabench, two):
    first, second = (pd.read_csv(path / "metrics.csv").query("epoch == 2") for path in two)
    lines = fabench("compare", *(path.name for path in two))
    rows = {row[0]: row[1:] for row in cells(lines)}
    assert rows["learning_rule"] == ["bp", "dfa"]
    assert rows["seed"] == ["[0, 1, 2]", "[1, 2, 3]"]
    assert "optimizer.lr" not in rows and "k" not in rows
    a, b = (frame.set_index("seed").test_loss.loc[[1, 2]] for frame in (first, second))
    mean, low, high, p = (float(text) for text in _numbers(rows["test loss"]))
    assert mean == pytest.approx((b - a).mean(), abs=1e-4)
    interval = ttest_rel(b, a).confidence_interval(0.95)
    assert (low, high) == pytest.approx((interval.low, interval.high), abs=2e-4)
    assert p == pytest.approx(ttest_rel(b, a).pvalue, rel=0.01)


def test_a_seed_that_has_diverged_is_in_no_pair():
    def summary(diverged, **values):
        return {"diverged": diverged, "final": {"test_loss": {"per_seed": values}}}

    first = summary({"2": 1}, **{"0": 1.0, "1": 2.0, "2": 3.0, "3": None})
    second = summary({}, **{"1": 5.0, "2": 9.0, "3": 9.0, "4": 9.0})
    assert runs.paired(first, second, "test_loss") == [3.0]


def _numbers(row):
    mean, half = row[2].split(" ± ")
    return mean, float(mean) - float(half), float(mean) + float(half), row[3]


def test_rm_is_dry_until_it_is_told(fabench, two):
    before = sorted(two[0].parent.rglob("*"))
    assert fabench("rm", "learning_rule=bp")[-1].startswith("--yes removes 1 (0.")
    assert sorted(two[0].parent.rglob("*")) == before
    with RunFolder.at(two[0]).locked():
        RunFolder.at(two[0]).update_manifest(status="running")
        assert fabench("rm", "k=1", "--yes")[-2:] == ["1 at work: they stay.", "1 removed."]
    assert [path for path in two if path.exists()] == two[:1]


def test_rm_leaves_what_is_not_named_as_a_run(fabench, two):
    others = [two[0].with_name("runs_of_mine"), Path("a_project")]
    for folder in others:
        shutil.copytree(two[0], folder)
    assert fabench("rm", "a_project", "--yes")[-2:] == [
        "1 without a run's name: they stay.", "0 removed.",
    ]  # fmt: skip
    assert fabench("rm", "k=1", "--yes")[-1] == "2 removed."
    assert all((folder / "metrics.csv").exists() for folder in others)


def test_watch_shows_what_is_at_work(fabench, two, monkeypatch):
    assert fabench("watch") == ["No run is at work."]
    folder = RunFolder.at(two[0])
    folder.update_manifest(
        status="running", sessions=[{"epoch": 0, "started": "2026-01-01T00:00:00+00:00"}]
    )
    with folder.locked():
        [_, row] = cells(fabench("watch"))
        assert row[1:5] == ["bp", "sgd", "digits, parity, k=1", "2"] and row[5] == "0 s"
        looks = []
        monkeypatch.setattr(runs.console, "_force_terminal", True)
        monkeypatch.setattr(runs.time, "sleep", lambda seconds: looks.append(seconds) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runs.watch([])
        monkeypatch.setattr(runs.time, "sleep", lambda seconds: exec("raise KeyboardInterrupt"))
        assert runs.watch([]) == 0  # Ctrl-C ends it
    assert looks == [runs.EVERY]


def test_none_of_them_imports_torch(two):
    program = (
        "import sys; from fabench.command import cli; name, *names = sys.argv[1:];"
        "codes = [cli.main(['show', name]), cli.main(['compare', name, *names]),"
        "         cli.main(['rm', *names]), cli.main(['watch'])];"
        "print('loaded', codes, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *(path.name for path in two)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "loaded [0, 0, 0, 0] False", done.stderr
