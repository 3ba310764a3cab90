"""Names, metrics, refusals and run folders are those on record: see record.py.

Oracle: what the code did when it was recorded. Rounding differs between processors by far less than
RTOL, but in sums that nearly cancel: there ATOL, as alignments are at most 1 and losses about 1.
"""

import json
import shutil

import pytest
import record
import yaml

from fabench.command import cli

pytestmark = pytest.mark.usefixtures("workdir")

NAMES = yaml.safe_load(record.NAMES.read_text())
METRICS = record.recorded_metrics()


def assert_close(was, now):
    found = record.differences(was, now, record.RTOL, record.ATOL)
    assert not found, "\n".join(found[:20])


@pytest.mark.parametrize("command", NAMES)
def test_a_command_has_the_run_folders_on_record(command):
    assert record.names(command) == NAMES[command]


@pytest.mark.parametrize("rule", dict.fromkeys(row["rule"] for row in METRICS))
def test_a_rule_has_the_metrics_on_record(rule):
    assert_close([row for row in METRICS if row["rule"] == rule], record.metrics(rule))


def test_what_is_refused_is_on_record():
    assert record.refusals() == yaml.safe_load(record.REFUSALS.read_text())


# -- Run folders -----------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path):
    """A copy of the run folders on record, where ``fabench run`` looks for them."""
    return shutil.copytree(record.RUNS, tmp_path / "outputs" / "runs")


def run(command, *overrides):
    assert cli.main(["run", *command.split(), *overrides]) == 0


def by_name(runs, command):
    """The run folder of a command, which there is already."""
    [name] = record.names(command)
    assert (runs / name).is_dir()
    return runs / name


def test_an_old_finished_run_is_found_and_shown(runs, capsys):
    folder = by_name(runs, record.FINISHED)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    run(record.FINISHED)
    assert "This run has finished" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert (folder / "plots").is_dir()


@pytest.mark.parametrize("command", record.INTERRUPTED, ids=lambda command: command.split()[0])
def test_an_old_interrupted_run_is_continued(runs, capsys, tmp_path, command):
    folder, epochs = by_name(runs, command), record.INTERRUPTED[command] // 3
    begun = list(record.rows(folder))
    assert {int(row["epoch"]) for row in begun} == set(range(epochs + 1))
    run(command)
    assert f"continuing after {epochs} of 3 epochs" in capsys.readouterr().out
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "finished" and len(manifest["sessions"]) == 2
    run(command, "output_dir=anew")
    whole = list(record.rows(tmp_path / "anew" / "runs" / folder.name))
    of_then = [{column: row[column] for column in begun[0]} for row in record.rows(folder)]
    assert_close(of_then, whole)
    assert_close(begun, whole[: len(begun)])
