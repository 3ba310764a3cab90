"""What a folder says is checked before it is believed: damaged folders, and those of other runs.

Oracle: the run that nothing has happened to. Each case is refused in one sentence that names the
file, and ``overwrite=true`` finds what that run found.
"""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from fabench.command import cli
from fabench.command.run import draw
from fabench.figure.recipe import fig_hidden_activations
from fabench.figure.run_plots import write_plots
from fabench.run.checks import digest
from fabench.run.execute import execute, find
from fabench.run.store import TIMES, RunFolder
from fabench.run.summary import summary
from fabench.run.trainer import Training, population_of, trained
from fabench.schema import RunFailed, UserError

EPOCHS = 4
RUN = {"learning_rule": "dfa", "optimizer": "adam", "trainer__epochs": EPOCHS}

pytestmark = pytest.mark.usefixtures("workdir")


class Crash(Exception):
    """A process that ends anywhere."""


def crash_in_epoch(monkeypatch, number):
    """Let training end without a word in an epoch."""

    def train(self, *args):
        if self.epoch + 1 == number:
            raise Crash
        _train(self, *args)

    _train = Training._train
    monkeypatch.setattr(Training, "_train", train)


@pytest.fixture(scope="module")
def kept(make_config, tmp_path_factory):
    """Folders as runs have left them, by name; ``begun`` after two of its four epochs."""
    output = str(tmp_path_factory.mktemp("kept"))
    changes = {
        "finished": {},
        "rate": {"optimizer__lr": 0.5},
        "seeds": {"seed": [3, 4, 5]},
        "one seed": {"seed": [0]},
        "failed": {"optimizer": "sgd", "optimizer__lr": 1e30},
        "wide": {"model__hidden": [6]},
    }
    made = {}
    for name, change in changes.items():
        config = make_config(**{**RUN, **change}, output_dir=output)
        [outcome] = execute([config], "a test")
        assert outcome.error is None or name == "failed"
        made[name] = outcome.folder
    begun = make_config(**RUN, output_dir=output + "/begun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fabench.run.chore.KEEPING", np.inf)
        crash_in_epoch(patch, 3)
        with pytest.raises(Crash):
            execute([begun], "a test")
    made["begun"] = RunFolder(begun)
    assert made["begun"].place() == (2, 0) and made["failed"].status == "failed"
    return made


@pytest.fixture
def copy(kept, make_config, tmp_path):
    """A folder of one's own, as one of ``kept``."""

    def make(name, **changes):
        config = make_config(**{**RUN, **changes}, output_dir=str(tmp_path / "outputs"))
        folder = RunFolder(config)
        shutil.copytree(kept[name].path, folder.path)
        return folder

    return make


def run(folder, **changes):
    """The outcome of the folder's own command."""
    [outcome] = execute([_changed(folder.config, **changes)], "a test")
    return outcome


def _changed(config, **general):
    return dataclasses.replace(config, general=dataclasses.replace(config.general, **general))


def science(folder):
    return folder.metrics().drop(columns=TIMES)


# -- Damage ----------------------------------------------------------------------------------


def text(name, change):
    """Rewrites a text file."""
    return name, lambda file, kept: file.write_text(change(file.read_text()))


def rows(change):
    """Rewrites metrics.csv as a dataframe."""

    def apply(file, kept):
        frame = change(pd.read_csv(file, dtype=str))
        file.write_text(frame.to_csv(index=False))

    return "metrics.csv", apply


def saved(sealed=True, **changes):
    """Rewrites numbers in checkpoint.pt; ``sealed``: and its checksum, as if it had been so."""

    def apply(file, kept):
        content = {**torch.load(file, weights_only=True), **changes}
        if sealed:
            content["sha256"] = digest(content)
        else:
            for key in ("run", "seeds", "sha256", "metrics_bytes", "metrics_sha256"):
                del content[key]
        torch.save(content, file)

    return "checkpoint.pt", apply


def bent_weight(file, kept):
    content = torch.load(file, weights_only=True)
    content["tensors"]["W0"][1, 3, 2] += 1e-3
    torch.save(content, file)


def other(name, of):
    """Another run's file."""
    return name, lambda file, kept: shutil.copy(kept[of].path / name, file)


def old(of):
    """Another run's checkpoint, as older versions wrote it."""

    def apply(file, kept):
        content = torch.load(kept[of].path / "checkpoint.pt", weights_only=True)
        saved(False, **{key: content[key] for key in ("loss", "correct", "tensors")})[1](file, kept)

    return "checkpoint.pt", apply


def write(name, content):
    return name, lambda file, kept: file.write_bytes(content)


def gone(name):
    return name, lambda file, kept: file.unlink()


def folder_instead(name):
    def apply(file, kept):
        file.unlink()
        (file / "within").mkdir(parents=True)

    return name, apply


def halved(content):
    return content[: len(content) // 2]


def epochs(keep):
    return rows(lambda frame: frame[keep(frame.epoch.astype(int))])


def fifth_loss(value):
    return rows(
        lambda frame: frame.assign(test_loss=frame.test_loss.where(frame.index != 4, value))
    )


ALWAYS = {
    "manifest cut": text("manifest.json", halved),
    "manifest empty": write("manifest.json", b""),
    "manifest a list": write("manifest.json", b"[]"),
    "manifest null": write("manifest.json", b"null"),
    "manifest nested": write("manifest.json", b"[" * 100_000),
    "manifest a folder": folder_instead("manifest.json"),
    "no such status": text("manifest.json", lambda t: t.replace('"status": "', '"status": "un')),
    "sessions a number": write("manifest.json", b'{"status": "running", "sessions": 3}'),
    "failed, no reason": write("manifest.json", b'{"status": "failed"}'),
    "config of another rate": other("config.yaml", "rate"),
    "config of other seeds": other("config.yaml", "seeds"),
    "config empty": write("config.yaml", b""),
    "config no YAML": write("config.yaml", b"a: [b"),
    "config gone": gone("config.yaml"),
    "metrics gone": gone("metrics.csv"),
    "metrics empty": write("metrics.csv", b""),
    "metrics binary": write("metrics.csv", bytes(range(256)) * 20),
    "metrics cut": text("metrics.csv", halved),
    "metrics cut in the last number": text("metrics.csv", lambda t: t[:-3]),
    "metrics a folder": folder_instead("metrics.csv"),
    "metrics of another rate": other("metrics.csv", "rate"),
    "a digit changed": text("metrics.csv", lambda t: t.replace("0.5", "0.6", 1)),
    "no rows": rows(lambda frame: frame[:0]),
    "first epochs deleted": epochs(lambda epoch: epoch > 1),
    "an epoch deleted": epochs(lambda epoch: epoch != 1),
    "one seed deleted": rows(lambda frame: frame[frame.seed != "1"]),
    "a row deleted": rows(lambda frame: frame.drop(index=4)),
    "rows doubled": rows(lambda frame: pd.concat([frame, frame])),
    "rows of other seeds": other("metrics.csv", "seeds"),
    "a column deleted": rows(lambda frame: frame.drop(columns="test_loss")),
    "no diverged": rows(lambda frame: frame.drop(columns="diverged")),
    "a cell emptied": fifth_loss(""),
    "a word for a number": fifth_loss("x"),
}
FINISHED = {
    "last epochs deleted": epochs(lambda epoch: epoch < 3),
    "an epoch too many": rows(
        lambda frame: pd.concat([frame, frame[-3:].assign(epoch=str(EPOCHS + 1))])
    ),
    "failed in truth": text(
        "manifest.json", lambda t: t.replace('finished"', 'failed", "reason": "x"')
    ),
}
BEGUN = {
    "finished in truth": text("manifest.json", lambda t: t.replace('"running"', '"finished"')),
    "all epochs deleted": epochs(lambda epoch: epoch > 2),
    "checkpoint of another rate": other("checkpoint.pt", "rate"),
    "checkpoint of other seeds": other("checkpoint.pt", "seeds"),
    "checkpoint of one seed": other("checkpoint.pt", "one seed"),
    "old checkpoint of one seed": old("one seed"),
    "old checkpoint of other layers": old("wide"),
    "epoch 10000": saved(epoch=10_000),
    "old, epoch 10000": saved(sealed=False, epoch=10_000),
    "old, epoch 1 of 2": saved(sealed=False, epoch=1),
    "batches 10**6": saved(batches=10**6),
    "old, batches 10**6": saved(sealed=False, batches=10**6),
    "old, batches -1": saved(sealed=False, batches=-1),
    "old, epoch -1": saved(sealed=False, epoch=-1),
    "epoch a word": saved(epoch="two"),
    "epoch changed": saved(sealed=True, epoch=1),
    "a weight changed": ("checkpoint.pt", bent_weight),
    "checkpoint a list": ("checkpoint.pt", lambda file, kept: torch.save([1, 2], file)),
    "checkpoint without keys": ("checkpoint.pt", lambda file, kept: torch.save({}, file)),
    "checkpoint empty": write("checkpoint.pt", b""),
    "checkpoint a folder": folder_instead("checkpoint.pt"),
}
CASES = [
    *(("finished", *case) for case in {**ALWAYS, **FINISHED}.items()),
    *(("begun", *case) for case in {**ALWAYS, **BEGUN}.items()),
]


@pytest.mark.parametrize("state, case, damage", CASES, ids=[f"{s}: {c}" for s, c, _ in CASES])
def test_damage_is_named_and_overwrite_helps(copy, kept, monkeypatch, state, case, damage):
    folder, (name, apply) = copy(state), damage
    apply(folder.path / name, kept)
    outcome = run(folder)
    assert isinstance(outcome.error, UserError) and not outcome.trained
    message = str(outcome.error)
    assert "overwrite=true" in message and "\n" not in message
    expected = {
        "sessions a number": "manifest.json",
        "failed in truth": "metrics.csv",
        "finished in truth": "metrics.csv",
    }.get(case, name)
    assert message.startswith(str(folder.path / expected))
    monkeypatch.setattr("fabench.run.execute._train", lambda *args: None)  # see the next test
    outcome = run(folder, overwrite=True)
    assert outcome.error is None and outcome.place == (-1, 0) and folder.status == "new"


def test_overwrite_trains_what_is_damaged_all_over(copy, kept):
    folder = copy("begun")
    for name in ("manifest.json", "config.yaml", "metrics.csv", "checkpoint.pt"):
        (folder.path / name).write_bytes(b"[1, 2")
    assert isinstance(run(folder).error, UserError)
    assert run(folder, overwrite=True).error is None
    pd.testing.assert_frame_equal(science(folder), science(kept["finished"]), check_exact=True)
    assert find(folder.config).finished


def test_what_is_whole_goes_on_and_is_shown(copy, kept):
    for name in ("begun", "finished"):
        outcome = run(folder := copy(name))
        assert outcome.error is None and outcome.trained == (name == "begun")
        pd.testing.assert_frame_equal(science(folder), science(kept["finished"]), check_exact=True)
        shutil.rmtree(folder.path)
    failed = copy("failed", optimizer="sgd", optimizer__lr=1e30)
    assert isinstance(run(failed).error, RunFailed)
    rows(lambda frame: frame[:-3])[1](failed.path / "metrics.csv", kept)
    assert isinstance(run(failed).error, UserError)


def test_a_run_that_crashes_twice_goes_on(copy, kept, monkeypatch):
    """The second time between metrics.csv, written anew, and its checkpoint."""
    folder = copy("begun")

    def crash(self):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_save", crash)
        with pytest.raises(Crash):
            run(folder)
    assert folder.metrics().epoch.max() == 3 and find(folder.config).place == (2, 0)
    assert run(folder).error is None
    pd.testing.assert_frame_equal(science(folder), science(kept["finished"]), check_exact=True)


def test_a_finished_run_of_an_older_version_is_shown(copy, kept):
    folder = copy("finished")
    manifest = folder.path / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["metrics_bytes"], content["metrics_sha256"]
    manifest.write_text(json.dumps(content))
    assert find(folder.config).error is None
    rows(lambda frame: frame[:-1])[1](folder.path / "metrics.csv", kept)
    assert isinstance(find(folder.config).error, UserError)


@pytest.mark.parametrize(
    "name, apply", [saved(sealed=False), gone("manifest.json"), gone("checkpoint.pt")]
)
def test_what_older_versions_left_or_was_not_yet_written_goes_on(copy, kept, name, apply):
    folder = copy("begun")
    apply(folder.path / name, kept)
    assert run(folder).error is None
    pd.testing.assert_frame_equal(science(folder), science(kept["finished"]), check_exact=True)


def test_a_config_of_older_code_lacks_settings(copy):
    folder = copy("finished")
    config = folder.path / "config.yaml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if "metrics_every" not in line))
    assert find(folder.config).error is None


def test_another_runs_folder_under_this_name_is_refused(copy, kept):
    folder = copy("finished")
    shutil.rmtree(folder.path)
    shutil.copytree(kept["rate"].path, folder.path)
    assert isinstance(run(folder).error, UserError)
    assert run(folder, overwrite=True).error is None


def test_a_link_is_not_followed(copy, tmp_path):
    folder, outside = copy("finished"), tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    for general in ({}, {"overwrite": True}):
        shutil.rmtree(folder.path / "plots", ignore_errors=True)
        (folder.path / "plots").symlink_to(outside)
        [lease] = folder.path.glob(".lease-*")
        lease.unlink()
        lease.symlink_to(outside / "precious")
        [outcome] = execute([_changed(folder.config, **general)], "a test")
        draw(outcome)
        assert outcome.error is None
        assert not (folder.path / "plots").is_symlink()
        assert (folder.path / "plots" / "accuracy.png").exists()
        assert [(p.name, p.read_text()) for p in outside.iterdir()] == [("precious", "x")]


@pytest.mark.parametrize("state", ["begun", "finished"])
def test_what_a_kill_left_goes(copy, state):
    folder = copy(state)
    (folder.path / "plots").mkdir()
    for name in (".metrics.csv.123.part", "plots/.accuracy.png.123.part"):
        (folder.path / name).write_bytes(b"half")
    [outcome] = execute([folder.config], "a test")
    draw(outcome)
    assert outcome.error is None
    assert not list(folder.path.rglob(".*.part"))


def test_damage_does_not_stop_the_others(copy, kept, make_config, tmp_path, capsys):
    folder = copy("begun")
    old("wide")[1](folder.path / "checkpoint.pt", kept)
    text("manifest.json", halved)[1](folder.path / "manifest.json", kept)
    sweep = [
        "run", "-m", "dataset=digits", "learning_rule=dfa", "optimizer=adam", "trainer.device=cpu",
        "trainer.batch_size=16", "trainer.train_examples=40", "trainer.test_examples=24",
        f"trainer.epochs={EPOCHS}", "model.hidden=[5]",
        f"optimizer.lr=0.05,{folder.config.optimizer.lr}",
    ]  # fmt: skip
    assert cli.main(sweep) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "1 of 2" in err
    [csv] = tmp_path.glob("outputs/sweeps/*/sweep.csv")
    assert sorted(pd.read_csv(csv).status) == ["failed", "finished"]
    assert cli.main([*sweep, "overwrite=true"]) == 0
    assert run(folder).error is None


def test_a_finished_run_is_not_told_that_it_continues(copy, monkeypatch, caplog):
    def full(*args):
        raise OSError("no room")  # as libraries raise it: without an error number

    monkeypatch.setattr("fabench.figure.run_plots.write_plots", full)
    [outcome] = execute([copy("finished").config], "a test")
    draw(outcome)
    assert outcome.error is None and outcome.folder.status == "finished"
    [told] = caplog.messages
    assert "no room" in told and "None" not in told and "continues" not in told
    monkeypatch.undo()
    assert write_plots(outcome.folder.path, outcome.folder.metrics(), outcome.config)


def test_a_run_that_was_finished_before_its_neighbour_failed_is_finished(
    make_config, tmp_path, monkeypatch
):
    def full(self, *args):
        if self.config.optimizer.lr == 0.2:
            raise OSError(28, "No space left on device")
        write(self, *args)

    write = RunFolder.write_summary
    monkeypatch.setattr(RunFolder, "write_summary", full)
    configs = [make_config(optimizer__lr=lr, output_dir=str(tmp_path)) for lr in (0.1, 0.2)]
    fine, failed = execute(configs, "a test")
    assert fine.error is None and fine.trained
    assert isinstance(failed.error, RunFailed) and str(failed.folder.path) in str(failed.error)


# -- Weights ---------------------------------------------------------------------------------


def test_a_figure_that_needs_weights_says_when_there_are_none(copy, kept):
    folder = copy("finished")
    (folder.path / "checkpoint.pt").unlink()
    with pytest.raises(UserError, match=r"checkpoint\.pt is missing.*overwrite=true"):
        fig_hidden_activations.hidden_layers(folder.path)
    shutil.copy(kept["begun"].path / "checkpoint.pt", folder.path)
    with pytest.raises(UserError, match=r"checkpoint\.pt is older.*overwrite=true"):
        fig_hidden_activations.hidden_layers(folder.path)


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rule": "relu_features"},
        {"learning_rule": "fourier_features", "optimizer": "adam"},
        {"learning_rule": "ntk", "model__hidden": [5, 4]},
        {"learning_rule": "dfa", "model__hidden": [5, 4], "trainer__frozen_layers": [1]},
        {"learning_rule": "kolen_pollack", "optimizer": "momentum", "model__bias": True},
    ],
    ids=lambda changes: changes["learning_rule"],
)
def test_all_weights_of_a_trained_run_come_back(make_config, tmp_path, monkeypatch, changes):
    populations = []

    def run(self, reporter):
        populations.append(self.population)
        _run(self, reporter)

    _run = Training.run
    monkeypatch.setattr(Training, "run", run)
    config = make_config(**changes, seed=[4, 1], output_dir=str(tmp_path))
    [outcome] = execute([config], "a test")
    [population] = populations
    again = trained(RunFolder.at(outcome.folder.path))
    ours, theirs = everything(again), everything(population)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name
    fresh = everything(population_of(config, population.rows, again.device))
    assert any(not torch.equal(fresh[name], tensor) for name, tensor in theirs.items())


def everything(population):
    """All tensors of a population, by name."""
    states = {f"{n} {k}": t for n, s in population.state.items() for k, t in s.items()}
    return {**population.tensors, **states, "steps": torch.tensor(population.steps)}


# -- JSON ------------------------------------------------------------------------------------


def test_json_has_no_infinity(copy, kept):
    folder = copy("finished")
    metrics = folder.metrics()
    metrics.loc[metrics.seed == 1, ["test_loss", "weight_norm_1"]] = np.inf
    metrics.loc[(metrics.seed == 1) & (metrics.epoch > 0), "diverged"] = 1
    folder.write_metrics(metrics)
    folder.write_summary()

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads((folder.path / "summary.json").read_text(), parse_constant=refuse)
    assert found == summary(metrics)
    assert found["final"]["test_loss"]["per_seed"]["1"] is None
    with pytest.raises(ValueError, match="JSON"):
        folder.update_manifest(rate=float("inf"))
