"""Early stopping: when a training ends, and that its network is the best one's.

Oracles: Prechelt's equations on short sequences, the same training without stopping, and shorter
ones that end where the best networks are.
"""

import json
from contextlib import ExitStack

import numpy as np
import pandas as pd
import pytest
import torch

from fabench.run.checks import metrics_fault
from fabench.run.execute import find
from fabench.run.stopping import generalization_loss, progress, stops
from fabench.run.store import TIMES, RunFolder
from fabench.run.trainer import Training, trained
from fabench.schema import UserError

GOLDEN = [10, 8, 9, 10, 11, 12, 12, 13, 14, 15, 16, 17, 16]
EPOCHS = 12
UP = {
    "trainer__early_stopping": "UP", "trainer__early_stopping_threshold": 1.0,
    "trainer__early_stopping_strip": 2,
}  # fmt: skip
ALL = {"trainer__test_examples": None}
NEVER = {"trainer__early_stopping": "GL", "trainer__early_stopping_threshold": 1e30}
RUN = {
    "learning_rule": "bp", "optimizer": "adam", "optimizer__lr": 0.05, "k": 1,
    "trainer__epochs": EPOCHS,
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("workdir")


def first(validation, training, *criterion):
    """After which epoch a training ends; None: never."""
    ends = [
        t for t in range(1, len(validation) + 1) if stops(validation[:t], training[:t], *criterion)
    ]
    return ends[0] if ends else None


@pytest.mark.parametrize(
    "alpha, epoch", [(12, 3), (20, 4), (40, 6), (90, 11), (110, 12), (113, None)]
)
def test_generalization_loss_stops_where_it_is_known_to(alpha, epoch):
    assert first(GOLDEN, GOLDEN, "GL", alpha, 5) == epoch


@pytest.mark.parametrize("s, k, epoch", [
    (1, 1, 3), (2, 1, 4), (4, 1, 6), (5, 1, 12), (6, 1, None),  # 12, 12 is no rise
    (1, 3, 6), (2, 3, 9), (3, 3, 12), (4, 3, None), (1, 5, 10),  # at 3, 6, 9, 12: 9, 12, 14, 17
])  # fmt: skip
def test_strips_in_which_the_loss_rises_are_counted(s, k, epoch):
    assert first(GOLDEN, GOLDEN, "UP", float(s), k) == epoch


def test_the_quotient_forgives_what_progress_makes_up_for():
    assert progress([2, 3, 6, 7]) == pytest.approx(1250)
    assert generalization_loss([4, 2, 3]) == pytest.approx(50)
    training = [8, 4, 2, 1.5, 1.25, 1.2]
    # at the strips' ends 2, 4, 6: GL 0, 25, 50 %, P 500, 1000/6, 1000/48
    validation = [9, 8, 8, 10, 11, 12]
    assert first(validation, training, "PQ", 0.14, 2) == 4
    assert first(validation, training, "PQ", 0.16, 2) == 6
    assert first(validation, training, "PQ", 2.39, 2) == 6
    assert first(validation, training, "PQ", 2.41, 2) is None
    assert first([1, 1, 2, 2], [1, 1, 1, 1], "PQ", 1e9, 2) == 4, "no progress at all"
    assert generalization_loss([0, 0]) == 0 and generalization_loss([0, 1]) == np.inf


@pytest.fixture(scope="module")
def made(make_config, tmp_path_factory):
    """The folder of a run of RUN, trained once."""
    folders = {}

    def make(**changes):
        key = json.dumps(changes)
        if key not in folders:
            output = str(tmp_path_factory.mktemp("made"))
            [folders[key]] = train(make_config(**RUN | changes, output_dir=output))
        return folders[key]

    return make


class Crash(Exception):
    """A process that ends anywhere."""


class Silent:
    """A reporter that does nothing but call ``at`` with the number of every batch."""

    def __init__(self, at):
        self.at, self.batches = at, 0

    def start(self, epochs, batches, rows, done):
        pass

    def batch(self, examples):
        self.batches += 1
        self.at(self.batches)

    def epoch(self, metrics):
        pass


def science(folder):
    return folder.metrics().drop(columns=TIMES)


def assert_same(folder, other, rtol=0.0):
    """Equal metrics and tensors, those of the best networks included."""
    pd.testing.assert_frame_equal(science(folder), science(other), rtol=rtol, atol=rtol)
    ours, theirs = folder.checkpoint(), other.checkpoint()
    for place in ("epoch", "batches", "steps"):
        assert ours[place] == theirs[place]
    assert ours["tensors"].keys() == theirs["tensors"].keys() and len(ours["tensors"]) >= 12
    for name, tensor in ours["tensors"].items():
        torch.testing.assert_close(tensor, theirs["tensors"][name], rtol=rtol, atol=rtol)


def train(*configs, at=lambda batches: None):
    folders = [RunFolder(config) for config in configs]
    with ExitStack() as locks:
        for folder in folders:
            locks.enter_context(folder.locked())
        Training(folders, "a test").run(Silent(at))
    return folders


def expected(whole):
    """What metrics.csv says with UP from that of the run that never stops."""
    rows, ends = [], []
    for _, of_seed in whole.groupby("seed", sort=False):
        loss, training = of_seed.validation_loss.tolist(), of_seed.train_loss.tolist()
        end = first(loss[1:], training[1:], "UP", 1.0, 2)
        best = 1 + int(np.argmin(loss[1 : end + 1]))
        ends.append((end, best))
        rows += [of_seed.iloc[e if e <= end else best] for e in range(EPOCHS + 1)]
    frame = pd.DataFrame(rows).astype(whole.dtypes.to_dict())
    frame["epoch"] = [*range(EPOCHS + 1)] * len(ends)
    frame["stopped"] = [int(e > end) for end, _ in ends for e in range(EPOCHS + 1)]
    frame = frame.sort_values("epoch", kind="stable")
    last = max(end for end, _ in ends) + 1
    return frame[frame.epoch <= last].reset_index(drop=True), ends


def test_every_seed_stops_by_itself_and_keeps_its_best_network(made):
    folder, whole = made(**UP), made(**NEVER)
    metrics, (wanted, ends) = science(folder), expected(science(whole))
    pd.testing.assert_frame_equal(metrics, wanted, check_exact=True)
    assert ends == [(6, 3), (8, 7), (4, 3)], "seeds that differ, and stop before the last epoch"
    assert folder.status == "finished" and find(folder.config).finished
    summary = json.loads((folder.path / "summary.json").read_text())
    assert list(summary["stopped"].values()) == [
        {"after": end, "network_of": best} for end, best in ends
    ]
    per_seed = summary["final"]["test_accuracy"]["per_seed"]
    assert list(per_seed.values()) == metrics[metrics.epoch == 9].test_accuracy.tolist()
    ours, again = folder.checkpoint()["tensors"], trained(folder).tensors
    shorter = made(**{**NEVER, "trainer__epochs": 3}).checkpoint()["tensors"]
    for row in (0, 2):
        for name, tensor in shorter.items():
            assert torch.equal(ours[name][row], tensor[row]), name
        assert torch.equal(again["W0"][row], shorter["W0"][row])


def test_validation_data_are_the_held_out_images(made, make_config):
    """As in tuning, where they are tested on; the same ones in every epoch."""
    losses = science(made(**NEVER))
    plain = made(**{"trainer__evaluate_on": "validation"})
    assert plain.metrics().train_loss.tolist() == losses.train_loss.tolist()
    both = science(made(**{**NEVER, "trainer__evaluate_on": "validation", **ALL}))
    np.testing.assert_allclose(both.test_loss, both.validation_loss, rtol=1e-5)
    every = {"trainer__train_examples": None}
    steps = [make_config(**RUN | every | more).steps(1) for more in ({}, UP)]
    assert steps == [90, 75]  # of 1437 images, and of 1198


def test_a_killed_run_goes_on_to_the_same_end(made, make_config, tmp_path):
    def crash(n):
        if n == 20:  # in epoch 7
            raise Crash

    config = make_config(**RUN | UP, output_dir=str(tmp_path))
    with pytest.raises(Crash):
        train(config, at=crash)
    [folder] = train(config)
    assert_same(folder, made(**UP))


JOBS = [{}, {"optimizer__lr": 0.04, "seed": [2, 0]}, {"optimizer__lr": 1e30, "seed": [0]}]


@pytest.mark.parametrize("crash_at", [14, 23])  # in epochs 5 and 8
def test_jobs_of_one_population_end_as_alone(make_config, made, tmp_path, crash_at):
    """After epochs 9, 7 and (of which every seed diverges) 1."""

    def crash(n):
        if n == crash_at:
            raise Crash

    configs = [make_config(**RUN | UP | job, output_dir=str(tmp_path)) for job in JOBS]
    with pytest.raises(Crash):
        train(*configs, at=crash)
    unfinished = [c for c in configs if not find(c).finished]
    assert len(unfinished) == {14: 2, 23: 1}[crash_at]
    train(*unfinished)
    for config, job, end in zip(configs, JOBS, (9, 7, 1), strict=True):
        folder = RunFolder(config)
        assert folder.place() == (end, 0)
        assert folder.status == ("failed" if end == 1 else "finished")
        if end > 1:
            assert_same(folder, made(**{**UP, **job}), rtol=1e-5)  # sums of other shapes


def test_a_seed_that_diverges_does_not_hold_up_the_others(make_config, made, tmp_path):
    def poison(training, n):
        if n == 5:
            training.population.matrices("W")[0][1] = torch.nan

    config = make_config(**RUN | UP, output_dir=str(tmp_path))
    folder = RunFolder(config)
    with folder.locked():
        training = Training([folder], "a test")
        training.run(Silent(lambda n: poison(training, n)))
    ours, other = science(folder), science(made(**UP))
    assert find(config).finished and folder.place() == (7, 0)
    assert ours[ours.seed == 1].diverged.tolist() == [0, 0, *[1] * 6]
    assert not ours[ours.seed == 1].stopped.any()
    others = other[(other.seed != 1) & (other.epoch <= 7)].reset_index(drop=True)
    healthy = ours[ours.seed != 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(healthy, others, check_exact=True)


def test_a_run_that_stops_where_epochs_are_measured_now_and_then(make_config, tmp_path):
    rarely = {**UP, "trainer__early_stopping": "GL", "trainer__metrics_every": 2}
    config = make_config(**RUN | rarely, output_dir=str(tmp_path))
    [folder] = train(config)
    metrics = folder.metrics()
    *measured, last = metrics.epoch.unique().tolist()
    assert measured == list(range(0, last, 2)) and last % 2 and find(config).finished
    assert metrics[metrics.epoch == last].stopped.all()


def test_a_finished_run_that_lacks_its_end_is_no_finished_run(made):
    metrics, config = made(**UP).metrics(), made(**UP).config
    assert metrics_fault(metrics.to_dict("list"), config, "finished") is None
    assert (
        metrics_fault(metrics[:-3].to_dict("list"), config, "finished")
        == "is not that of a run that has finished"
    )


def test_a_longer_run_does_not_begin_with_one_that_may_have_gone_back(make_config):
    for changes, same in (({}, True), (UP, False)):
        courses = {make_config(**RUN | changes | {"trainer__epochs": n}).course() for n in (3, 5)}
        assert (len(courses) == 1) == same


def test_strips_are_counted_in_whole_numbers(make_config):
    half = {"trainer__early_stopping_threshold": 2.5}
    assert make_config(**half, trainer__early_stopping="PQ").trainer.holds_out
    with pytest.raises(UserError, match=r"^trainer\.early_stopping_threshold=2\.5: UP counts"):
        make_config(**half, trainer__early_stopping="UP")


def test_the_confusion_is_that_of_the_accuracy(make_config, tmp_path):
    """Of three digits every epoch tests on other examples: a row's are those of its best epoch."""
    settings = {"task": "parity", "k": 3, "output_dir": str(tmp_path)}
    [folder] = train(make_config(**RUN | UP | settings))
    summary = json.loads((folder.path / "summary.json").read_text())
    accuracies = summary["final"]["test_accuracy"]["per_seed"].values()
    counts = np.array(summary["test_confusion"])
    assert len(summary["stopped"]) > 0
    assert np.trace(counts) / counts.sum() == pytest.approx(np.mean(list(accuracies)))


def test_a_seed_that_has_stopped_does_not_diverge(make_config, made, tmp_path):
    """What becomes of its weights in a later epoch is put back."""

    def poison(training):
        for row in np.flatnonzero(training.stopping.stopped):
            training.population.matrices("W")[0][row] = torch.nan

    config = make_config(**RUN | UP, output_dir=str(tmp_path))
    folder = RunFolder(config)
    with folder.locked():
        training = Training([folder], "a test")
        training.run(Silent(lambda n: poison(training)))
    assert_same(folder, made(**UP))
    assert folder.status == "finished" and not training.diverged.any()
