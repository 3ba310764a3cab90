"""Training from the first epoch to the last, stopped and continued in every way.

Oracles: the CSV and the weights of an uninterrupted run, counts worked out by hand, pandas and
SciPy for the statistics. The runs: 40 examples in batches of 16, 16 and 8; tests on 24.
"""

import functools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from matplotlib.figure import Figure
from scipy import stats

from fabench import __version__
from fabench.command import cli
from fabench.model.layer import kernel
from fabench.model.layer.initialization import WEIGHT_INITS
from fabench.randomness import generator
from fabench.run.lease import is_of_a_lease
from fabench.run.parsing import parse
from fabench.run.progress import LineReporter
from fabench.run.store import TIMES, RunFolder
from fabench.run.trainer import Interrupted, Training

SAVEFIG = Figure.savefig
EPOCHS = 3
BATCHES = 3
ARGS = [
    "dataset=digits",
    "trainer.device=cpu",
    f"trainer.epochs={EPOCHS}",
    "trainer.batch_size=16",
    "trainer.train_examples=40",
    "trainer.test_examples=24",
    "model.hidden=[5]",
]


pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture
def fabench(capsys):
    """``fabench run ARGS ...``: exit code, stdout, stderr."""

    def call(*overrides):
        code = cli.main(["run", *ARGS, *overrides])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def config(make_config):
    """The configuration of ``fabench run ARGS``, changed by keywords."""
    return lambda **changes: make_config(**{"trainer__epochs": EPOCHS, **changes})


@pytest.fixture(scope="module")
def uninterrupted(make_config, tmp_path_factory):
    """The folder of a run that nothing has stopped."""

    @functools.cache
    def make(**changes):
        output_dir = str(tmp_path_factory.mktemp("uninterrupted"))
        settings = {"trainer__epochs": EPOCHS, "output_dir": output_dir, **changes}
        (folder,) = train(make_config(**settings))
        return folder

    return make


class Silent:
    """A reporter that does nothing but call ``at`` after every batch."""

    def __init__(self, at=lambda batches: None):
        self.at, self.batches, self.examples = at, 0, []

    def introduce(self, jobs, lines):
        pass

    def start(self, epochs, batches, rows, done):
        pass

    def batch(self, examples):
        self.batches += 1
        self.examples.append(examples)
        self.at(self.batches)

    def epoch(self, metrics):
        pass


def train(*configs, at=lambda training, batches: None):
    """Train one population; ``at`` is called after every batch. Returns the run folders."""
    folders = [RunFolder(config) for config in configs]
    with ExitStack() as locks:
        for folder in folders:
            locks.enter_context(folder.locked())
        training = Training(folders, "fabench run")
        training.run(Silent(lambda batches: at(training, batches)))
    return folders


def run_folder(output_dir="outputs"):
    """The only run folder that a command has made, as the configuration in it names it."""
    (path,) = (Path(output_dir) / "runs").iterdir()
    raw = yaml.safe_load((path / "config.yaml").read_text())
    folder = RunFolder(parse({**raw, "output_dir": str(output_dir)}))
    assert folder.path == path
    return folder


def science(folder):
    """metrics.csv without the columns that take another value every time."""
    return folder.metrics().drop(columns=TIMES)


def assert_same(folder, other):
    """Equal metrics, weights, feedback and optimizer state, to the last bit."""
    pd.testing.assert_frame_equal(science(folder), science(other), check_exact=True)
    ours, theirs = folder.checkpoint()["tensors"], other.checkpoint()["tensors"]
    assert ours.keys() == theirs.keys() and len(ours) >= 2
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def assert_one_sentence(err, *words):
    assert err.count("\n") == 1 and "Traceback" not in err, err
    for word in words:
        assert word in err


# -- What a run leaves behind ----------------------------------------------------------------


def test_metrics_have_a_row_for_every_seed_and_epoch(config, tmp_path):
    (folder,) = train(config(seed=[4, 1], output_dir=str(tmp_path)))
    metrics = folder.metrics()
    assert metrics.columns.tolist() == [
        "seed", "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy",
        "weight_alignment", "gradient_alignment", "feedback_alignment",
        "update_alignment", "update_alignment_1", "update_alignment_2", "weight_norm_1",
        "weight_norm_2", "signal_norm_1", "signal_norm_2", "dead_units",
        "diverged", "seconds", "examples_per_second",
    ]  # fmt: skip
    assert metrics[["epoch", "seed"]].to_numpy().tolist() == [
        [epoch, seed] for epoch in range(EPOCHS + 1) for seed in (4, 1)
    ]
    assert (metrics.diverged == 0).all()
    before, after = metrics[metrics.epoch == 0], metrics[metrics.epoch > 0]
    for column, examples in ((before.train_accuracy, 24), (after.train_accuracy, 40),
                             (metrics.test_accuracy, 24)):  # fmt: skip
        correct = column * examples
        assert np.allclose(correct, correct.round(), atol=1e-9) and column.between(0, 1).all()
    assert (before.seconds == 0).all() and before.examples_per_second.isna().all()
    assert (after.seconds > 0).all()
    assert np.allclose(after.examples_per_second, 2 * 40 / after.seconds)
    assert metrics[["weight_alignment", "gradient_alignment"]].abs().le(1 + 1e-9).all(axis=None)


def test_epoch_0_measures_the_network_as_it_was_drawn(config, tmp_path):
    """Against NumPy, with one network in float64."""
    config = config(seed=[2], k=1, learning_rule="bp", output_dir=str(tmp_path))
    (folder,) = train(config)
    images = config.dataset.load()
    index = generator(2, "test", 0).permutation(360)[:24]
    x = (images.test_images.numpy()[index].reshape(24, 64) - images.pixel_mean) / images.pixel_std
    y = images.test_labels.numpy()[index] % 2
    draw = WEIGHT_INITS["torch_uniform"]
    W0, W1 = draw(generator(2, "weights 0"), 64, 5), draw(generator(2, "weights 1"), 5, 1)
    logit = (np.maximum(x @ W0, 0) @ W1)[:, 0]
    probability = 1 / (1 + np.exp(-logit))
    loss = -np.log(np.where(y == 1, probability, 1 - probability)).mean()
    first = folder.metrics().iloc[0]
    assert first.test_loss == pytest.approx(loss, rel=1e-5)
    assert first.test_accuracy == pytest.approx(((logit > 0) == (y == 1)).mean())


def test_a_run_folder_holds_everything(fabench, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", SAVEFIG)
    code, out, err = fabench()
    assert (code, err) == (0, "")
    folder = run_folder()
    files = {str(p.relative_to(folder.path)) for p in folder.path.rglob("*") if p.is_file()}
    assert {name for name in files if not name.startswith(".lease-")} == {
        "config.yaml", "metrics.csv", "manifest.json", "summary.json", "checkpoint.pt",
        "plots/accuracy.png", "plots/alignment.png",
    }  # fmt: skip
    for plot in ("accuracy", "alignment"):
        height, width, _ = matplotlib.image.imread(folder.path / "plots" / f"{plot}.png").shape
        assert width > height > 100
    assert str(folder.path) in out

    manifest = json.loads((folder.path / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["command"].startswith("fabench run dataset=digits")
    assert manifest["environment"]["fabench"] == __version__
    assert manifest["environment"]["libraries"]["torch"] == version("torch")
    assert manifest["environment"]["device"] == "cpu"
    assert "load_digits" in manifest["data"]
    assert manifest["parameters"] == 3 * 64 * 5 + 5
    assert manifest["population"] == 3
    (session,) = manifest["sessions"]
    started, stopped = (datetime.fromisoformat(session[key]) for key in ("started", "stopped"))
    assert 0 <= (stopped - started).total_seconds() < 60


def test_summary_is_that_of_the_csv(config, tmp_path):
    (folder,) = train(config(output_dir=str(tmp_path)))
    summary = json.loads((folder.path / "summary.json").read_text())
    metrics = folder.metrics()
    last = metrics[metrics.epoch == EPOCHS]
    assert set(summary["final"]) == set(metrics.columns) - {"seed", "epoch", "diverged"}
    for name, final in summary["final"].items():
        values = last[name].to_numpy()
        assert final["mean"] == pytest.approx(values.mean())
        assert final["sd"] == pytest.approx(values.std(ddof=1))
        if values.std() > 0:
            interval = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
            assert final["ci95"] == pytest.approx(interval)
        assert list(final["per_seed"].values()) == values.tolist()
    means = metrics.groupby("epoch").test_accuracy.mean()
    assert summary["best_epoch"]["test_accuracy_mean"] == pytest.approx(means.max())
    assert means[summary["best_epoch"]["epoch"]] == means.max()


@pytest.mark.parametrize(
    "changes, columns, plots",
    [
        ({"learning_rule": "bp"}, ["feedback_alignment", "gradient_alignment"], ["accuracy"]),
        ({"learning_rule": "relu_features"}, [], ["accuracy"]),
        (
            {"learning_rule": "dfa"},
            ["feedback_alignment", "gradient_alignment", "weight_alignment"],
            ["accuracy", "alignment"],
        ),
        (
            {"learning_rule": "dfa", "model__hidden": [5, 4]},
            ["feedback_alignment", "feedback_alignment_1", "feedback_alignment_2",
             "gradient_alignment", "gradient_alignment_1", "gradient_alignment_2",
             "weight_alignment", "weight_alignment_1", "weight_alignment_2"],
            ["accuracy", "alignment"],
        ),
    ],
    ids=["bp", "features", "dfa", "deep dfa"],
)  # fmt: skip
def test_alignment_is_measured_where_there_is_one(fabench, changes, columns, plots):
    fabench(*(f"{key.replace('__', '.')}={value}" for key, value in changes.items()), "seed=0")
    folder = run_folder()
    found = folder.metrics().columns
    of_signals = [c for c in found if "alignment" in c and not c.startswith("update")]
    assert sorted(of_signals) == columns
    assert "update_alignment" in found
    assert sorted(file.stem for file in folder.path.glob("plots/*.png")) == plots
    if changes["learning_rule"] == "bp":  # it is its own yardstick
        assert np.allclose(folder.metrics()[["gradient_alignment", "update_alignment"]], 1)


def test_null_trains_and_tests_on_everything(config, tmp_path):
    everything = {"trainer__train_examples": None, "trainer__test_examples": None}
    batch = []
    (folder,) = train(
        config(k=1, seed=[0], trainer__epochs=1, trainer__batch_size=100,
               output_dir=str(tmp_path), **everything),
        at=lambda training, _: batch.append(training.score.examples),
    )  # fmt: skip
    assert batch == [*range(100, 1401, 100), 1437]
    correct = folder.metrics().test_accuracy * 360
    assert np.allclose(correct, correct.round(), atol=1e-9)


# -- The same command again ------------------------------------------------------------------


def contents(folder):
    """What its files hold, but for who holds the folder."""
    files = (path for path in folder.path.iterdir() if path.is_file())
    return {file: file.read_bytes() for file in files if not is_of_a_lease(file)}


def test_the_same_command_again_shows_the_finished_run(fabench):
    fabench("seed=[0,1]")
    folder = run_folder()
    before = contents(folder)
    for plot in folder.path.glob("plots/*"):
        plot.unlink()
    code, out, err = fabench("seed=[0,1]")
    assert (code, err) == (0, "")
    assert "finished" in out and str(folder.path) in out
    assert contents(folder) == before
    assert len(list(folder.path.glob("plots/*.png"))) == 2


def test_overwrite_trains_anew_and_finds_the_same(fabench):
    fabench()
    folder = run_folder()
    metrics, tensors = folder.metrics(), folder.checkpoint()["tensors"]
    (folder.path / "notes.txt").write_text("of the old run")
    assert fabench("overwrite=true")[0] == 0
    assert not (folder.path / "notes.txt").exists()
    assert (folder.metrics().seconds != metrics.seconds)[3:].all(), "it was trained"
    pd.testing.assert_frame_equal(science(folder), metrics.drop(columns=TIMES), check_exact=True)
    for name, tensor in folder.checkpoint()["tensors"].items():
        assert torch.equal(tensor, tensors[name])


def test_the_same_examples_are_one_batch_for_all_steps(config, tmp_path):
    """There a search never gets worse; on new ones losses go up and down."""

    def losses(same, output_dir):
        (folder,) = train(config(
            learning_rule="local_search", learning_rule__decay=0.0, output_dir=str(output_dir),
            trainer__batch_size=40, trainer__epochs=30, trainer__same_examples=same, seed=[0],
        ))  # fmt: skip
        return folder.metrics().train_loss[1:]

    same, others = losses(True, tmp_path / "same"), losses(False, tmp_path / "others")
    assert (same.diff()[1:] <= 1e-6).all() and same.iloc[-1] < same.iloc[0]
    assert (others.diff()[1:] > 1e-6).any()
    assert same.iloc[0] == others.iloc[0], "the first epoch is as it was"


def test_two_runs_of_one_command_agree(config, uninterrupted, tmp_path):
    (folder,) = train(config(output_dir=str(tmp_path)))
    assert_same(folder, uninterrupted())


# -- Stopped by a signal ---------------------------------------------------------------------


@pytest.fixture
def send(monkeypatch):
    """Send this process a signal after so many batches of the next ``fabench run``."""

    def arrange(signum, batches):
        count = iter(range(1, batches + 1))

        def batch(self, examples):
            if next(count, None) == batches:
                os.kill(os.getpid(), signum)

        monkeypatch.setattr(LineReporter, "batch", batch)

    def unexpected(signum, frame):
        raise AssertionError("nobody caught the signal")

    before = signal.signal(signal.SIGTERM, unexpected)
    yield arrange
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "signum, code, optimizer, batches, epochs",
    [
        (signal.SIGINT, 130, "sgd", 4, 1),  # the first batch of epoch 2
        (signal.SIGTERM, 143, "adam", 5, 1),  # in the middle of epoch 2
        (signal.SIGINT, 130, "adam", 6, 1),  # its last batch, before its evaluation
        (signal.SIGINT, 130, "sgd", 1, 0),
    ],
)
@pytest.mark.parametrize("cores", [1, 2])  # 2: rows in threads, ahead of what is reported
def test_a_stopped_run_continues(
    fabench, uninterrupted, send, use_cores, cores, signum, code, optimizer, batches, epochs
):
    whole = uninterrupted(optimizer=optimizer)
    use_cores(cores)
    handler = signal.getsignal(signal.SIGINT)  # in the background a shell has it ignored
    send(signum, batches)
    stopped, _, err = fabench(f"optimizer={optimizer}")
    assert stopped == code
    assert_one_sentence(err, f"epoch {epochs + 1} of {EPOCHS}", "same command continues")
    folder = run_folder()
    assert folder.status == "interrupted"
    assert folder.metrics().epoch.max() == epochs
    assert signal.getsignal(signal.SIGINT) is handler

    code, out, err = fabench(f"optimizer={optimizer}")
    assert (code, err) == (0, "")
    assert folder.status == "finished"
    assert len(folder.manifest()["sessions"]) == 2
    assert f"epoch {EPOCHS}/{EPOCHS}" in out
    assert f"epoch {epochs}/{EPOCHS} " not in out, "what is done is not done again"
    assert_same(folder, whole)


def test_denormals_are_flushed_while_a_run_trains(fabench, monkeypatch):
    def smallest():
        return (torch.tensor(2e-42) * 1).item()

    def run(training, reporter, trains=Training.run):
        seen.append(smallest())
        trains(training, reporter)

    seen = []
    monkeypatch.setattr(Training, "run", run)
    assert fabench()[0] == 0
    assert seen == [0]
    assert smallest() > 0


@pytest.mark.parametrize(
    "choice",
    [
        {"optimizer": "adam"},
        {"learning_rule": "local_search"},
        {"parallel": "elastic_averaging", "parallel__momentum": 0.5},
        {"dataset__crop": 2, "dataset__flip": True},
    ],
    ids=str,
)
def test_a_run_stopped_after_every_batch_arrives(config, uninterrupted, tmp_path, choice):
    def stop(training, batches):
        os.kill(os.getpid(), signal.SIGINT)

    configuration = config(**choice, output_dir=str(tmp_path))
    for _ in range(EPOCHS * BATCHES):
        with pytest.raises(Interrupted, match="same command continues"):
            train(configuration, at=stop)
    (folder,) = train(configuration)
    assert len(folder.manifest()["sessions"]) == EPOCHS * BATCHES + 1
    assert_same(folder, uninterrupted(**choice))


@pytest.mark.skipif(not kernel.has_onednn(), reason="torch without oneDNN")
@pytest.mark.parametrize("first, then", [("onednn", "torch"), ("torch", "onednn")])
def test_a_stopped_run_keeps_its_kernel(config, tmp_path, monkeypatch, first, then):
    """Whatever would be chosen when it continues."""

    def stop(training, batches):
        if batches == 4:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(kernel, "LARGE", 0)
    monkeypatch.setattr(kernel, "_faster", lambda: first)
    (whole,) = train(config(output_dir=str(tmp_path / "whole")))
    configuration = config(output_dir=str(tmp_path))
    with pytest.raises(Interrupted):
        train(configuration, at=stop)
    monkeypatch.setattr(kernel, "_faster", lambda: then)
    (folder,) = train(configuration)
    assert_same(folder, whole)
    assert folder.manifest()["fp32_kernel"] == first
    (other,) = train(config(output_dir=str(tmp_path / "other")))
    with pytest.raises(AssertionError):
        assert_same(other, whole)


def test_a_stopped_sweep_continues(fabench, config, send):
    command = ("-m", "seed=0", "optimizer.lr=0.1,0.2")
    assert fabench(*command, "output_dir=whole")[0] == 0
    send(signal.SIGINT, 5)
    assert fabench(*command)[0] == 130
    assert fabench(*command)[0] == 0
    for lr in (0.1, 0.2):
        run = config(seed=[0], optimizer__lr=lr, output_dir="outputs")
        whole = config(seed=[0], optimizer__lr=lr, output_dir="whole")
        assert_same(RunFolder(run), RunFolder(whole))


def test_what_a_stopped_run_has_done_counts_in_the_plan_of_a_sweep(fabench, config):
    def stop(training, batches):
        if batches == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        train(config(seed=[0], output_dir="outputs"), at=stop)
    _, out, _ = fabench("-m", "seed=1,0")  # of the second's nine batches, four are done
    shares = [int(share) for share in re.findall(r"(\d+) % of the plan", out)]
    assert shares == [33, 50, 67, 83, 100]  # a third of both; of the first two, of three thirds


# -- Stopped without a word ------------------------------------------------------------------

SLOW = """
import sys, time
from fabench.command import cli
from fabench.run import progress as report
report.LineReporter.batch = lambda self, examples: time.sleep(0.1)
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_killed_run_continues(fabench, config, uninterrupted):
    folder = RunFolder(config(output_dir="outputs"))
    csv = folder.path / "metrics.csv"
    command = [sys.executable, "-c", SLOW, "run", *ARGS]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as victim:
        deadline = time.monotonic() + 60
        while not (csv.exists() and folder.metrics().epoch.max() >= 1):
            assert victim.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        victim.send_signal(signal.SIGKILL)
    assert victim.returncode == -signal.SIGKILL
    assert folder.metrics().epoch.max() < EPOCHS
    assert folder.status == "running"
    code, _, err = fabench()
    assert (code, err) == (0, "")
    assert folder.status == "finished"
    assert_same(folder, uninterrupted())


class Crash(Exception):
    """A process that ends anywhere."""


@pytest.mark.parametrize(
    "batches, epochs, saved",  # after how many batches it crashes; what then is in the CSV; saved
    [(2, 0, -1), (4, 1, -1), (8, 2, 2), (11, 3, 2)],
)
def test_checkpoints_may_be_rare(config, uninterrupted, tmp_path, batches, epochs, saved):
    """After a crash, epochs that no checkpoint has seen are trained again."""

    def crash(training, n):
        if n == batches:
            raise Crash

    changes = {"optimizer": "adam", "trainer__epochs": 4}
    rare = config(**changes, trainer__checkpoint_every=2, output_dir=str(tmp_path))
    with pytest.raises(Crash):
        train(rare, at=crash)
    folder = RunFolder(rare)
    assert folder.metrics().epoch.max() == epochs
    assert folder.place() == (saved, 0)
    train(rare)
    assert folder.place() == (4, 0)
    assert_same(folder, uninterrupted(**changes))


@pytest.mark.parametrize("crash_at", [None, 8, 13])
def test_measurements_may_be_rare(config, uninterrupted, tmp_path, crash_at):
    """Every second epoch and the last, with the values that they have when all are measured."""

    def crash(training, n):
        if n == crash_at:
            raise Crash

    changes = {"optimizer": "adam", "trainer__epochs": 5}
    rare = config(
        **changes, trainer__metrics_every=2, trainer__checkpoint_every=3, output_dir=str(tmp_path)
    )
    if crash_at is not None:
        with pytest.raises(Crash):
            train(rare, at=crash)
    train(rare)
    metrics = RunFolder(rare).metrics().drop(columns=TIMES)
    assert metrics.epoch.drop_duplicates().tolist() == [0, 2, 4, 5]
    every = uninterrupted(**changes).metrics().drop(columns=TIMES)
    expected = every[every.epoch.isin([0, 2, 4, 5])].reset_index(drop=True)
    pd.testing.assert_frame_equal(metrics, expected)


@pytest.mark.parametrize("crash_at", [None, 8])
def test_files_of_short_epochs_wait(config, uninterrupted, tmp_path, monkeypatch, crash_at):
    """Where bringing them up to date takes longer than an epoch: when the last one is done."""
    written = []

    def note(name, write):
        monkeypatch.setattr(
            RunFolder, name, lambda self, content: (written.append(name), write(self, content))
        )

    def crash(training, n):
        if n == crash_at:
            raise Crash

    monkeypatch.setattr("fabench.run.chore.KEEPING", 1e-9)
    note("write_metrics", RunFolder.write_metrics)
    note("write_checkpoint", RunFolder.write_checkpoint)
    changes = {"optimizer": "adam", "trainer__epochs": 4}
    waiting = config(**changes, output_dir=str(tmp_path))
    if crash_at is not None:
        with pytest.raises(Crash):
            train(waiting, at=crash)
        assert RunFolder(waiting).place() == (-1, 0)
        written.clear()
    (folder,) = train(waiting)
    assert written == ["write_metrics", "write_metrics", "write_checkpoint"]
    assert_same(folder, uninterrupted(**changes))


# -- A disk that is full ---------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch):
    """No space is left on the disk after so many files, until the block ends."""

    @contextmanager
    def fill(writes):
        sync, count = os.fsync, iter(range(writes))

        def fsync(descriptor):
            if next(count, None) is None:
                raise OSError(28, "No space left on device")
            sync(descriptor)

        with monkeypatch.context() as full:
            full.setattr(os, "fsync", fsync)
            yield
        assert next(count, None) is None, "the disk was never full"

    return fill


@pytest.mark.parametrize("writes", range(11))
def test_a_full_disk_loses_nothing(config, uninterrupted, full_disk, tmp_path, writes):
    """config.yaml, manifest.json, metrics of epoch 0, metrics and checkpoint of epochs 1 to 3,
    summary.json, manifest.json."""
    configuration = config(output_dir=str(tmp_path))
    with full_disk(writes), pytest.raises(OSError, match="No space left"):
        train(configuration)
    assert not list(RunFolder(configuration).path.glob("*.part"))
    (folder,) = train(configuration)
    assert folder.status == "finished"
    assert_same(folder, uninterrupted())


@pytest.mark.parametrize("writes", [0, 6], ids=["begin", "checkpoint"])
def test_a_full_disk_is_reported(fabench, uninterrupted, full_disk, writes):
    with full_disk(writes):
        code, _, err = fabench()
    assert code == 1
    assert_one_sentence(err, "outputs", "No space left on device", "same command")
    code, _, err = fabench()
    assert (code, err) == (0, "")
    assert_same(run_folder(), uninterrupted())
    assert len(list(run_folder().path.glob("plots/*.png"))) == 2


def test_a_checkpoint_that_does_not_fit_is_reported(fabench):
    """As above where the system refuses to write: torch.save turns that into another error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        code, _, err = fabench("seed=0", "model.hidden=[100]")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 1
    assert_one_sentence(err, "Writing to", "same command")
    assert fabench("seed=0", "model.hidden=[100]")[0] == 0
    assert (run_folder().path / "checkpoint.pt").stat().st_size > 50_000


# -- Divergence ------------------------------------------------------------------------------


def test_a_row_that_diverges_is_marked_and_leaves_the_others_alone(config, uninterrupted, tmp_path):
    def poison(training, batches):
        if batches == 2 * BATCHES - 1:  # in epoch 2
            training.population.matrices("W")[0][1] = torch.nan

    healthy = uninterrupted()
    (folder,) = train(config(output_dir=str(tmp_path)), at=poison)
    metrics = folder.metrics()
    assert metrics.pivot(index="epoch", columns="seed", values="diverged").to_dict("list") == {
        0: [0, 0, 0, 0],
        1: [0, 0, 1, 1],
        2: [0, 0, 0, 0],
    }
    assert metrics[metrics.diverged == 1][["train_accuracy", "test_accuracy"]].isna().all(axis=None)
    good, same = science(folder), science(healthy)
    pd.testing.assert_frame_equal(good[good.seed != 1], same[same.seed != 1], check_exact=True)
    for name, tensor in folder.checkpoint()["tensors"].items():
        assert torch.equal(tensor[[0, 2]], healthy.checkpoint()["tensors"][name][[0, 2]])
    assert folder.status == "finished"
    summary = json.loads((folder.path / "summary.json").read_text())
    assert summary["diverged"] == {"1": 2}
    assert summary["final"]["test_accuracy"]["n"] == 2
    assert summary["final"]["test_accuracy"]["per_seed"]["1"] is None


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_an_absurd_learning_rate_leaves_the_neighbour_alone(config, tmp_path, optimizer):
    def pair(name, *lrs):
        changes = {"optimizer": optimizer, "output_dir": str(tmp_path / name)}
        return train(*(config(optimizer__lr=lr, **changes) for lr in lrs))

    beside_sane, _ = pair("sane", 0.01, 0.02)
    beside_absurd, absurd = pair("absurd", 0.01, 1e30)
    assert_same(beside_absurd, beside_sane)
    assert (beside_absurd.status, absurd.status) == ("finished", "failed")
    (alone,) = train(
        config(optimizer=optimizer, optimizer__lr=1e30, output_dir=str(tmp_path / "alone"))
    )
    pd.testing.assert_frame_equal(science(absurd), science(alone), check_exact=True)
    assert absurd.metrics().diverged.tolist() == [0] * 3 + [1] * 3


def test_a_diverged_row_stays_diverged(config, tmp_path):
    """Even if its loss becomes finite again, and after a crash."""

    def poison(training, batches):
        for W in training.population.matrices("W"):
            if batches in (2, BATCHES + 1):  # in epochs 1 and 2
                W[1] = torch.nan if batches == 2 else 0.01
        if batches == 2 * BATCHES + 1:
            raise Crash

    configuration = config(output_dir=str(tmp_path))
    with pytest.raises(Crash):
        train(configuration, at=poison)
    (folder,) = train(configuration)
    metrics = folder.metrics()
    assert metrics.groupby("seed").diverged.agg(list).tolist() == [[0] * 4, [0, 1, 1, 1], [0] * 4]
    assert metrics[(metrics.seed == 1) & (metrics.epoch == 3)].test_loss.notna().all()


def test_a_run_of_which_every_seed_diverges_fails_and_is_not_tried_again(fabench):
    code, _, err = fabench("optimizer.lr=1e30")
    assert code == 1
    assert_one_sentence(err, "diverged", "optimizer.lr")
    folder = run_folder()
    assert folder.status == "failed"
    assert folder.metrics().epoch.max() < EPOCHS, "it stops when nothing is left to train"
    before = contents(folder)
    code, out, err = fabench("optimizer.lr=1e30")
    assert code == 1
    assert_one_sentence(err, "diverged", "optimizer.lr")
    assert "diverged in epoch 1" in out
    assert contents(folder) == before


# -- Populations of several jobs -------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_jobs_of_one_population_are_as_alone(config, tmp_path, optimizer):
    changes = [
        {"optimizer__lr": 0.3, "seed": [0, 1]},
        {"optimizer__lr": 0.01, "seed": [1, 2, 5]},
        {"optimizer__lr": 0.01, "seed": [0], "trainer__weight_decay": 0.1},
    ]
    jobs = [{"optimizer": optimizer, **change} for change in changes]
    together = train(*(config(**job, output_dir=str(tmp_path / "together")) for job in jobs))
    for job, folder in zip(jobs, together, strict=True):
        (alone,) = train(config(**job, output_dir=str(tmp_path / "alone")))
        ours, theirs = science(folder), science(alone)
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-5)
        assert ours[["seed", "epoch"]].equals(theirs[["seed", "epoch"]])
        for name, tensor in folder.checkpoint()["tensors"].items():
            torch.testing.assert_close(tensor, alone.checkpoint()["tensors"][name])
        assert folder.manifest()["population"] == 6


def test_jobs_that_differ_only_in_their_place_each_have_their_folder(fabench, config):
    assert fabench("-m", "seed=0", "output_dir=here,there")[0] == 0
    here, there = (RunFolder(config(seed=[0], output_dir=name)) for name in ("here", "there"))
    assert (here.status, there.status) == ("finished", "finished")
    assert_same(here, there)


def test_a_job_that_another_process_holds_does_not_stop_the_sweep(fabench, config):
    held, free = (
        RunFolder(config(seed=[0], optimizer__lr=lr, output_dir="outputs")) for lr in (0.1, 0.2)
    )
    with held.locked():
        code, _, err = fabench("-m", "seed=0", "optimizer.lr=0.1,0.2")
    assert code == 1
    assert_one_sentence(err, "1 of 2", "Another process")
    assert (held.status, free.status) == ("new", "finished")


def test_a_job_with_a_corrupt_checkpoint_does_not_stop_the_sweep(fabench, config):
    bad, good = (
        RunFolder(config(seed=[0], optimizer__lr=lr, output_dir="outputs")) for lr in (0.1, 0.2)
    )
    bad.path.mkdir(parents=True)
    (bad.path / "checkpoint.pt").write_bytes(b"no checkpoint")
    code, _, err = fabench("-m", "seed=0", "optimizer.lr=0.1,0.2")
    assert code == 1
    assert_one_sentence(err, "1 of 2", "overwrite=true")
    assert good.status == "finished"
    assert fabench("-m", "seed=0", "optimizer.lr=0.1,0.2", "overwrite=true")[0] == 0
    assert bad.status == "finished"
