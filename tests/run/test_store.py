"""Run folders: whole files, metrics, manifest, lock, checkpoint, statistics.

Oracles: bytes on the disk, a second process, numbers worked out by hand.
"""

import json
import os
import shutil
from math import sqrt

import numpy as np
import pandas as pd
import pytest
import torch

from fabench.run.store import RunFolder, whole_file, write_json
from fabench.run.summary import summary
from fabench.schema import UserError

CHECKPOINT = {
    "epoch": 1, "batches": 2, "seconds": 0.1 + 0.2, "steps": 5, "examples": 32,
    "loss": torch.zeros(3), "correct": torch.zeros(3), "tensors": {},
}  # fmt: skip

T975 = {1: 12.7062047364, 2: 4.3026527297}
"""Student's t at 0.975 by degrees of freedom, from a table."""


@pytest.fixture
def folder(make_config, tmp_path):
    """A run folder that exists and is empty."""
    folder = RunFolder(make_config(output_dir=str(tmp_path)))
    folder.path.mkdir(parents=True)
    return folder


@pytest.fixture
def measured(folder):
    """The same with metrics, as every run has before its first checkpoint."""
    folder.write_metrics(pd.DataFrame({"seed": [0, 1, 2], "epoch": 0, "test_loss": 0.5}))
    return folder


# -- Whole files -----------------------------------------------------------------------------


def test_whole_file_appears_complete(tmp_path):
    with whole_file(tmp_path / "a.txt") as file:
        file.write(b"first half, ")
        assert not (tmp_path / "a.txt").exists()
        file.write(b"second half")
    assert (tmp_path / "a.txt").read_bytes() == b"first half, second half"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_whole_file_keeps_the_old_content_when_writing_fails(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "a.txt") as file:
        file.write(b"new%d" % (1 // 0))
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_whole_file_keeps_the_old_content_when_the_disk_is_full(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    (tmp_path / "a.txt").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), whole_file(tmp_path / "a.txt") as file:
        file.write(b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


# -- Content ---------------------------------------------------------------------------------


def test_metrics_come_back_exactly(folder):
    awkward = [0.1 + 0.2, 1 / 3, np.nextafter(1.0, 2.0), 5e-324, 1.7976931348623157e308, np.nan]
    seeds = [0, 1, 2, 3, 2**53 + 1, 2**63 - 1]
    metrics = pd.DataFrame({"seed": seeds, "epoch": 0, "test_loss": awkward, "diverged": 1})
    folder.write_metrics(metrics)
    pd.testing.assert_frame_equal(folder.metrics(), metrics, check_exact=True)


def test_a_new_folder_is_new(folder):
    assert folder.manifest() == {}
    assert folder.status == "new"
    assert folder.checkpoint() is None
    assert folder.place() == (-1, 0)


def test_manifest_keeps_what_an_update_does_not_name(folder):
    folder.update_manifest(status="running", command="fabench run")
    folder.update_manifest(status="finished")
    assert folder.manifest() == {"status": "finished", "command": "fabench run"}
    assert folder.status == "finished"


def test_config_yaml_gives_the_same_run(folder, make_config):
    import yaml

    from fabench.run.parsing import parse

    folder.write_config()
    again = parse(yaml.safe_load((folder.path / "config.yaml").read_text()))
    assert RunFolder(again).path == folder.path


def test_a_folder_is_found_again_where_it_lies(folder, tmp_path):
    folder.write_config()
    assert RunFolder.at(folder.path).config == folder.config
    moved = tmp_path / "elsewhere" / "runs" / folder.path.name
    shutil.copytree(folder.path, moved)
    assert RunFolder.at(moved).path == moved


def test_runs_of_other_science_have_other_folders(make_config):
    science = ({}, {"seed": [0]}, {"k": 1}, {"optimizer__lr": 0.1}, {"trainer__epochs": 3})
    elsewhere = ({"overwrite": True}, {"trainer__checkpoint_every": 7}, {"data_dir": "/nowhere"})
    names = [RunFolder(make_config(**change)).path.name for change in science]
    assert len(set(names)) == len(science)
    assert {RunFolder(make_config(**change)).path.name for change in elsewhere} == {names[0]}


def test_clear_removes_everything(measured):
    with measured.locked():
        measured.update_manifest(status="finished")
        measured.write_checkpoint(CHECKPOINT)
        (measured.path / "plots").mkdir()
        (measured.path / "plots" / "accuracy.png").touch()
        measured.clear()
        assert measured.status == "new"
        assert {p.name for p in measured.path.iterdir()} == {".lease-1"}


# -- Checkpoint ------------------------------------------------------------------------------


def test_checkpoint_comes_back_exactly(measured):
    W = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    measured.write_checkpoint({**CHECKPOINT, "tensors": {"W0": W}})
    saved = measured.checkpoint()
    assert saved["seconds"] == 0.1 + 0.2
    assert torch.equal(saved["tensors"]["W0"], W)
    assert measured.has_checkpoint((1, 2)) and not measured.has_checkpoint((1, 1))


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "code"])
def test_a_corrupt_checkpoint_is_named(measured, damage):
    file = measured.path / "checkpoint.pt"
    measured.write_checkpoint({**CHECKPOINT, "tensors": {"W0": torch.zeros(3, 1000)}})
    whole = file.read_bytes()
    if damage == "code":
        torch.save({"W0": os.system}, file)  # a pickle that names a function
    else:
        file.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(UserError, match=r"checkpoint\.pt cannot be read.*overwrite=true"):
        measured.checkpoint()


# -- Lock ------------------------------------------------------------------------------------


def test_a_second_holder_is_refused_and_told_which_folder(folder, make_config):
    other = RunFolder(folder.config)
    with folder.locked(), pytest.raises(UserError) as refusal, other.locked():
        pass
    assert str(folder.path) in str(refusal.value)
    with other.locked():  # it was released
        assert other.path.is_dir()


def test_a_folder_that_cannot_be_made_is_named(make_config, tmp_path):
    (tmp_path / "file").touch()
    folder = RunFolder(make_config(output_dir=str(tmp_path / "file")))
    with pytest.raises(UserError, match="output_dir=") as refusal, folder.locked():
        pass
    assert str(folder.path) in str(refusal.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(make_config, tmp_path):
    tmp_path.chmod(0o555)
    folder = RunFolder(make_config(output_dir=str(tmp_path)))
    with pytest.raises(UserError, match="output_dir=") as refusal, folder.locked():
        pass
    assert str(folder.path) in str(refusal.value)


# -- Statistics ------------------------------------------------------------------------------


def table(test_accuracy, diverged=None):
    """metrics.csv of seeds 0, 1, ... from one list of accuracies a seed, an entry an epoch."""
    rows = [
        {"seed": seed, "epoch": epoch, "test_accuracy": value, "diverged": 0}
        for epoch in range(len(test_accuracy[0]))
        for seed, value in enumerate(a[epoch] for a in test_accuracy)
    ]
    frame = pd.DataFrame(rows)
    for seed, epoch in (diverged or {}).items():
        frame.loc[(frame.seed == seed) & (frame.epoch >= epoch), "diverged"] = 1
    return frame


def test_summary_of_three_seeds():
    result = summary(table([[0.5, 0.4], [0.5, 0.6], [0.5, 0.8]]))
    final = result["final"]["test_accuracy"]
    assert final["n"] == 3
    assert final["mean"] == pytest.approx(0.6)
    assert final["sd"] == pytest.approx(0.2)  # sqrt((0.04 + 0 + 0.04) / 2)
    half = T975[2] * 0.2 / sqrt(3)
    assert final["ci95"] == pytest.approx([0.6 - half, 0.6 + half])
    assert final["per_seed"] == {"0": 0.4, "1": 0.6, "2": 0.8}
    assert (result["epochs"], result["seeds"], result["diverged"]) == (1, [0, 1, 2], {})
    assert "epoch" not in result["final"] and "diverged" not in result["final"]


def test_summary_of_one_seed_has_no_interval():
    final = summary(table([[0.5, 0.7]]))["final"]["test_accuracy"]
    assert (final["n"], final["mean"]) == (1, 0.7)
    assert final["sd"] is None
    assert final["ci95"] == [None, None]


def test_the_best_epoch_of_a_tie_is_the_first():
    best = summary(table([[0.1, 0.9, 0.9, 0.2], [0.3, 0.5, 0.5, 0.7]]))["best_epoch"]
    assert best["per_seed"]["0"] == {"epoch": 1, "test_accuracy": 0.9}
    assert best["per_seed"]["1"] == {"epoch": 3, "test_accuracy": 0.7}
    assert best["epoch"] == 1
    assert best["test_accuracy_mean"] == pytest.approx(0.7)


def test_diverged_seeds_count_in_no_final_statistic():
    nan = float("nan")
    accuracies = [[0.5, 0.4, 0.3], [0.5, nan, nan], [0.5, 0.6, 0.5]]
    result = summary(table(accuracies, diverged={1: 1}))
    final = result["final"]["test_accuracy"]
    assert final["n"] == 2
    assert final["mean"] == pytest.approx(0.4)
    assert final["sd"] == pytest.approx(0.1 * sqrt(2))
    half = T975[1] * 0.1  # sd / sqrt(2) = 0.1
    assert final["ci95"] == pytest.approx([0.4 - half, 0.4 + half])
    assert final["per_seed"] == {"0": 0.3, "1": None, "2": 0.5}
    assert result["diverged"] == {"1": 1}
    assert result["seeds"] == [0, 1, 2]


def test_a_diverged_seed_whose_loss_becomes_finite_again_still_counts_in_none():
    accuracies = [[0.5, 0.4, 0.3], [0.5, float("nan"), 0.9], [0.5, 0.6, 0.5]]
    final = summary(table(accuracies, diverged={1: 1}))["final"]["test_accuracy"]
    assert final["n"] == 2
    assert final["mean"] == pytest.approx(0.4)


def test_diverged_seeds_do_not_choose_the_best_epoch():
    nan = float("nan")
    # seeds 0 and 2 are best in epoch 1; the seed that diverges in epoch 2 would drag it to 2
    accuracies = [[0.5, 0.7, 0.6], [0.5, 0.1, nan], [0.5, 0.7, 0.6]]
    best = summary(table(accuracies, diverged={1: 2}))["best_epoch"]
    assert best["epoch"] == 1
    assert best["test_accuracy_mean"] == pytest.approx(0.7)


def test_a_metric_that_is_no_number_has_no_best_epoch():
    """As the NSE of a single test example, of no variance."""
    nan = float("nan")
    best = summary(table([[nan, nan], [nan, nan]]))["best_epoch"]
    assert best == {"epoch": None, "test_accuracy_mean": None, "per_seed": {}}
    best = summary(table([[nan, nan], [0.5, 0.7]]))["best_epoch"]
    assert best["per_seed"] == {"1": {"epoch": 1, "test_accuracy": 0.7}}


def test_summary_when_every_seed_diverged():
    nan = float("nan")
    result = summary(table([[0.5, nan], [nan, nan]], diverged={0: 1, 1: 0}))
    final = result["final"]["test_accuracy"]
    assert (final["n"], final["mean"], final["ci95"]) == (0, None, [None, None])
    assert result["diverged"] == {"0": 1, "1": 0}
    json.dumps(result, allow_nan=False)


def test_a_folder_of_which_nothing_comes_goes(make_config, tmp_path):
    folder = RunFolder(make_config(output_dir=str(tmp_path)))
    with folder.locked():
        assert (folder.path / ".lease-1").exists()
    assert not folder.path.exists()
    with folder.locked():
        folder.write_config()
    assert (folder.path / "config.yaml").exists()


def test_json_has_a_list_of_numbers_in_one_line(tmp_path):
    content = {
        "command": "seed=[0,  1]", "lines": "[\n 1]", "seeds": [0, 1, -2], "empty": [],
        "counts": [[1, 2], [3e-7, 4]], "runs": ["a", "b"],
    }  # fmt: skip
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == content
    assert '"seeds": [0, 1, -2]' in text and "    [1, 2],\n    [3e-07, 4]\n" in text
