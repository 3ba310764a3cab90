"""The weights of the best epoch. Oracles: shorter runs, which end with them; the accuracy that
metrics.csv has of that epoch; the run that nobody kills."""

import numpy as np
import pytest
import torch

from fabench.command import cli
from fabench.run.best import KEPT, BestWeights
from fabench.run.execute import execute
from fabench.run.parsing import parse
from fabench.run.store import TIMES, RunFolder
from fabench.run.trainer import Training, data_of, trained
from fabench.run.weights import load
from fabench.schema import UserError

pytestmark = pytest.mark.usefixtures("workdir")
RUN = {
    "learning_rule": "dfa", "optimizer": "adam", "optimizer__lr": 0.4, "task": "classification",
    "trainer__epochs": 7, "trainer__evaluate_on": "validation", "trainer__keep_best": True,
    "trainer__test_examples": None, "seed": [0, 1, 2],
}  # fmt: skip


@pytest.fixture
def make(make_config):
    """The folder of a run of RUN."""

    def train(**changes):
        [outcome] = execute([make_config(**RUN | changes)], "test")
        assert outcome.finished
        return outcome.folder

    return train


def best_epochs(folder, column="test_accuracy"):
    """By seed: the first epoch with the highest accuracy."""
    of_seed = folder.metrics().groupby("seed", sort=False)
    return {seed: int(m.epoch.iloc[np.argmax(m[column])]) for seed, m in of_seed}


def kept(folder):
    return {n: t for n, t in folder.checkpoint()["tensors"].items() if n.startswith(KEPT)}


def test_each_seed_keeps_its_best_epochs_weights(make):
    folder = make()
    best = best_epochs(folder)
    assert len({*best.values()}) > 1 and not {0, 7} & {*best.values()}
    assert kept(folder).keys() == {"kept W0", "kept W1"}, "no optimizer's state"
    for row, (seed, epoch) in enumerate(best.items()):
        shorter = trained(make(trainer__epochs=epoch, trainer__keep_best=False)).tensors
        ours = load(folder.path, seed, best=True)
        last = load(folder.path, seed)
        for name in ("W0", "W1"):
            assert torch.equal(getattr(ours, name)[0], shorter[name][row])
            assert torch.equal(getattr(last, name)[0], trained(folder).tensors[name][row])
            assert not torch.equal(getattr(ours, name), getattr(last, name))


def test_they_have_the_best_accuracy_on_validation_data(make):
    """With early stopping there is a test set, too, which does not count."""
    folder = make(
        trainer__early_stopping="UP", trainer__early_stopping_strip=2, trainer__epochs=12,
        trainer__evaluate_on="test", trainer__early_stopping_threshold=1.0,
    )  # fmt: skip
    metrics, best = folder.metrics(), best_epochs(folder, "validation_accuracy")
    assert metrics.stopped.any() and best != best_epochs(folder)
    data = data_of(folder.config)
    pool = data.pool("validation", 0, [0])
    for seed, epoch in best.items():
        right = load(folder.path, seed, best=True)(pool.values).argmax(1) == pool.labels
        row = metrics[(metrics.seed == seed) & (metrics.epoch == epoch)]
        assert right.double().mean().item() == pytest.approx(row.validation_accuracy.item())


class Crash(Exception):
    """A process that ends anywhere."""


class Fragile:
    """A reporter that ends the process after so many batches."""

    def __init__(self, batches):
        self.left = batches

    def start(self, epochs, batches, rows, done):
        pass

    def batch(self, examples):
        self.left -= 1
        if not self.left:
            raise Crash

    def epoch(self, metrics):
        pass


@pytest.mark.parametrize("crash_at", [5, 14, 20])
def test_a_killed_run_goes_on_to_the_same_weights(make, make_config, crash_at, tmp_path):
    whole = make()
    config = make_config(**RUN, output_dir=str(tmp_path / "other"))
    folder = RunFolder(config)
    with folder.locked():
        with pytest.raises(Crash):
            Training([folder], "test").run(Fragile(crash_at))
        Training([folder], "test").run(Fragile(-1))
    assert folder.metrics().drop(columns=TIMES).equals(whole.metrics().drop(columns=TIMES))
    for name, tensor in kept(whole).items():
        assert torch.equal(kept(folder)[name], tensor)


def test_a_longer_run_goes_on_with_the_best_of_the_shorter(make, make_config):
    whole = make(output_dir="alone")
    make(trainer__epochs=3)
    longer = make()
    assert longer.manifest()["goes_on_from"]
    for name, tensor in kept(whole).items():
        assert torch.equal(kept(longer)[name], tensor)
    for every, same in ((1, True), (3, True), (2, False)):  # the third epoch is not measured then
        settings = {"trainer__metrics_every": every}
        courses = {make_config(**RUN | settings | {"trainer__epochs": n}).course() for n in (3, 9)}
        assert (len(courses) == 1) == same


def test_in_regression_the_lowest_error_is_the_best(make_config):
    config = make_config(
        **RUN | {"dataset": "linear_teacher", "task": "regression", "trainer__early_stopping": "GL"}
    )
    folder = RunFolder(config)
    with folder.locked():
        population = Training([folder], "test").population
    best = BestWeights(config, population)
    assert (best.column, best.sign) == ("validation_nse", -1)


def test_a_diverged_epoch_is_never_the_best(make):
    folder = make(optimizer__lr=1e25, optimizer="sgd", seed=[0])
    assert folder.status == "failed"
    assert all(tensor.isfinite().all() for tensor in kept(folder).values())


def test_refusals(make, make_raw, capsys):
    raw = make_raw(**RUN | {"trainer__evaluate_on": "test"})
    with pytest.raises(UserError, match=r"^trainer\.keep_best=true: there is no validation data"):
        parse(raw)
    folder = make(trainer__keep_best=False, trainer__epochs=1)
    with pytest.raises(UserError, match="keeps its last weights"):
        load(folder.path, best=True)


def test_commands_take_the_best_weights(make, capsys):
    path = str(make().path)
    np.savez("x.npz", x=np.random.default_rng(0).random((3, 64)) * 16)
    said = []
    for best in ([], ["--best"]):
        assert cli.main(["predict", path, "x.npz", *best]) == 0
        said.append(capsys.readouterr().out)
        assert cli.main(["export", path, "--to", "m.pt2", *best]) == 0
        capsys.readouterr()
    assert said[0] != said[1]
    program = torch.export.load("m.pt2").module()
    x = torch.from_numpy(np.load("x.npz")["x"]).float()
    torch.testing.assert_close(program(x), load(path, best=True)(x), rtol=0, atol=1e-6)
