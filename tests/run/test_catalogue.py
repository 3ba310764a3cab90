"""What a folder of runs tells, and which of them a command means.

Oracles: settings, numbers and locks that the test has put there itself.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fabench.run.catalogue import Entry, delete, entries, named, select
from fabench.run.store import RunFolder, write_text
from fabench.schema import UserError

pytestmark = pytest.mark.usefixtures("workdir")


def test_an_entry_tells_settings_and_score(put_run):
    folder = put_run(k=3, optimizer="adam", model__hidden=[4, 5], accuracies=(0.5, 0.7, 0.9))
    [entry] = entries("outputs")
    assert entry.path == folder.path and entry.identity == folder.config.identity()
    settings = entry.settings
    assert [settings[key] for key in ("k", "optimizer", "optimizer.beta1", "model.hidden")] == [
        3, "adam", 0.9, [4, 5],
    ]  # fmt: skip
    assert "output_dir" not in settings and "optimizer.name" not in settings
    name, statistics = entry.score
    assert name == "test_accuracy"
    assert statistics["mean"] == pytest.approx(0.7)
    half = 4.30265273 * 0.2 / 3**0.5
    assert statistics["ci95"] == pytest.approx([0.7 - half, 0.7 + half])
    assert (entry.status, entry.epoch, entry.epochs) == ("finished", 2, 2)
    assert entry.summary == folder.summary()


def test_seeds_that_no_float_holds_are_told_apart(put_run):
    seeds = [2**60, 2**60 + 1, 2**63 - 1]
    folder = put_run("interrupted", accuracies=(0.5, 0.7, 0.9), seed=seeds)
    summary = Entry(folder.path).summary
    assert summary["seeds"] == seeds
    assert list(summary["final"]["test_accuracy"]["per_seed"]) == list(map(str, seeds))


def test_statuses(put_run):
    for number, status in enumerate(["finished", "interrupted", "failed", "running"], 1):
        put_run(status, k=number)
    broken = put_run(k=5)
    (broken.path / "manifest.json").write_text("{")
    unreadable = put_run(k=6)
    (unreadable.path / "config.yaml").write_text("a: [")
    (broken.path.parent / "just_made-0123456789").mkdir()
    told = {e.settings.get("k", 6): e.status for e in entries("outputs")}
    assert told == {
        1: "finished", 2: "interrupted", 3: "diverged", 4: "interrupted",
        5: "damaged", 6: "damaged",
    }  # fmt: skip
    [run] = [e for e in entries("outputs") if e.settings.get("k") == 4]
    running = RunFolder.at(run.path)
    with running.locked():
        assert Entry(run.path).status == "running"
        with pytest.raises(UserError, match="Another process"):
            delete(run)
    assert Entry(run.path).status == "interrupted"  # killed


def test_a_finished_run_whose_metrics_are_cut_is_damaged(put_run):
    folder = put_run(accuracies=(0.5,))
    folder.write_summary()
    file = folder.path / "metrics.csv"
    content = file.read_bytes()
    last_row = len(content) - len(content.splitlines()[-1])
    for length in range(len(content)):
        file.write_bytes(content[:length])
        entry = Entry(file.parent)
        if length < last_row:
            assert entry.status == "damaged"
        assert entry.epoch in (-1, 0, 1, 2) and (entry.score, entry.seconds_left)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "seed: 3\ntrainer: {epochs: 2}\n"),
        ("config.yaml", "seed: [3]\ntrainer: {epochs: many}\n"),
        ("config.yaml", "trainer: 7\n"),
        ("metrics.csv", "epoch,step,train_loss\n0,10,0.5\n"),
        ("metrics.csv", "seed,epoch,diverged,seconds\n0,0,0,0\n"),
    ],
)
def test_files_of_another_program_are_no_run(name, text):
    folder = Path("outputs/runs/mine")
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    [entry] = entries("outputs")
    assert (entry.status, entry.settings, entry.epoch) == ("damaged", {}, -1)
    assert not entry.is_named_as_a_run


def test_a_look_at_a_run_leaves_its_folder_alone(put_run):
    folder = put_run("running")
    with folder.locked():
        before = sorted(path.name for path in folder.path.iterdir())
        assert Entry(folder.path).status == "running"
        assert sorted(path.name for path in folder.path.iterdir()) == before


def test_time_left_goes_by_the_pace_so_far(put_run):
    folder = put_run("interrupted", trainer__epochs=5)
    [entry] = entries("outputs")
    started = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
    os.utime(folder.path / "metrics.csv", (started + 12, started + 12))  # four epochs in 12 s
    assert entry.seconds_left == 3.0
    folder.update_manifest(sessions=[{"epoch": 2, "started": "2025-01-01T00:00:00+00:00"}])
    assert Entry(folder.path).seconds_left == 6.0
    assert Entry(entry.path.parent / "none").seconds_left is None


def test_entries_come_by_age(put_run):
    folders = [
        put_run(k=k, stopped=f"2026-0{month}-01T00:00:00+00:00")
        for k, month in ((1, 3), (2, 1), (3, 2))
    ]
    assert [entry.settings["k"] for entry in entries("outputs")] == [2, 3, 1]
    assert entries("elsewhere") == []
    assert len(folders) == 3


@pytest.mark.parametrize(
    "filters, ks",
    [
        ("", "1234"),
        ("learning_rule=bp", "34"),
        ("learning_rule=bp,dfa", "1234"),
        ("learning_rule=bp optimizer=adam", "4"),
        ("optimizer.lr=1e-1", "2"),
        ("k=1,3", "13"),
        ("model.hidden=[4,5]", "3"),
        ("seed=[0,1]", "1234"),
        ("status=interrupted", "4"),
        ("status=finished,running k=4", ""),
        ("trainer.shuffle=true", "1234"),
        ("trainer.clip_norm=null k=1", "1"),
        ("trainer.clip_norm=1", ""),
        ("output_dir=elsewhere", ""),
    ],
)
def test_filters(put_run, filters, ks):
    (
        put_run(k=1),
        put_run(k=2, optimizer__lr=0.1),
        put_run(k=3, learning_rule="bp", model__hidden=[4, 5]),
    )
    put_run("interrupted", k=4, learning_rule="bp", optimizer="adam")
    assert "".join(sorted(str(e.settings["k"]) for e in select(filters.split()))) == ks


def test_a_filter_is_written_as_a_command_has_it(put_run):
    """One seed without brackets; a comma in a text is none between two values."""
    formula = {"learning_rule": "formula", "learning_rule__formula": "clip(g, 0.1)"}
    put_run(k=1, seed=[0], accuracies=(0.5,), **formula)
    put_run(k=2)
    for text in ("seed=0", "seed=[0]", "learning_rule.formula=clip(g, 0.1)"):
        assert [entry.settings["k"] for entry in select([text])] == [1], text


def test_a_run_is_named_by_folder_name_or_part(put_run):
    one, other = put_run(k=1), put_run(k=2)
    known = entries("outputs")
    for word in (str(one.path), one.path.name, one.config.identity(), "k1"):
        assert named(word, known).path == one.path, word
    assert select(["k1", "k2", "k1"]) == [Entry(one.path), Entry(other.path)]
    with pytest.raises(UserError, match=r"dfa is a part of 2 runs' names"):
        named("dfa", known)
    with pytest.raises(UserError, match=r"An empty word names no run"):
        select([""])
    with pytest.raises(UserError, match=r"nosuch is no run"):
        named("nosuch", known)
    with pytest.raises(UserError, match=r"No run has a setting optimizer.lrr; did you mean"):
        select(["optimizer.lrr=1"])
    with pytest.raises(UserError, match=r"seed=three: of runs, seeds are numbers"):
        select(["seed=three"])
    with pytest.raises(UserError, match=r"status=done: there are finished"):
        select(["status=done"])


def test_delete_takes_the_folder_and_nothing_else(put_run, tmp_path):
    folder = put_run()
    write_text(tmp_path / "kept", "kept")
    os.symlink(tmp_path / "kept", folder.path / "link")
    delete(Entry(folder.path))
    assert not folder.path.exists() and (tmp_path / "kept").read_text() == "kept"
    other = put_run()
    os.symlink(other.path, other.path.parent / "link")
    delete(Entry(other.path.parent / "link"))
    assert [path.name for path in other.path.parent.iterdir()] == [other.path.name]
