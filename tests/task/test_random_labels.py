import json

import numpy as np
import pytest
import torch

from fabench.command import cli
from fabench.population.examples import Examples
from fabench.population.population import NumberFormat
from fabench.run.parsing import parse
from fabench.run.registry import build
from fabench.schema import UserError

CPU = torch.device("cpu")


def random_labels(p, n_classes=10):
    settings = {"name": "random_labels", "loss": "softmax_cross_entropy"}
    return build("task", settings | {"n_classes": n_classes, "p": p})


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_each_label_is_replaced_with_probability_p_by_any_class(p):
    """Of labels that are all 3, classes other than 3 get p/10 each, within 5 standard errors."""
    n = 100_000
    labels = torch.full((n,), 3, dtype=torch.uint8)
    found = random_labels(p).relabel(labels, np.random.default_rng(0))
    assert found.dtype == torch.uint8 and (labels == 3).all()
    share = np.bincount(found.numpy(), minlength=10) / n
    expected = np.full(10, p / 10) + (1 - p) * (np.arange(10) == 3)
    assert len(share) == 10
    assert (np.abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / n)).all()


def test_what_is_drawn_does_not_depend_on_the_labels():
    one, other = (torch.full((1000,), label, dtype=torch.uint8) for label in (0, 7))
    some = random_labels(0.5).relabel(one, np.random.default_rng(0))
    found = random_labels(0.5).relabel(other, np.random.default_rng(0))
    kept = found == 7
    assert 0.4 < kept.double().mean() < 0.7
    assert torch.equal(found[~kept & (some != 0)], some[~kept & (some != 0)])


@pytest.fixture
def build_examples(make_images):
    def make(seeds, p=1.0):
        return Examples(
            make_images(400, 400), random_labels(p), seeds, CPU, NumberFormat("fp32", CPU)
        )

    return make


def labels_of_items(examples, split, epoch):
    """The label [S, M] of every stream's item 0, 1, ... in one epoch."""
    drawn = examples.epoch(split, epoch)
    order = drawn.table[..., 0].argsort(1)
    return drawn.y.argmax(2).gather(1, order)


def test_labels_are_fixed_for_the_run_and_follow_from_seed_and_split(build_examples):
    examples = build_examples((5, 6, 5))
    found = {split: labels_of_items(examples, split, 1) for split in ("train", "test")}
    for split, labels in found.items():
        assert labels.shape == (2, 400)
        for again in (examples, build_examples((5, 6))):
            assert torch.equal(labels_of_items(again, split, 7), labels)
        assert torch.equal(labels_of_items(build_examples((6,)), split, 2)[0], labels[1])
        assert 0.05 < (labels[0] == labels[1]).double().mean() < 0.15
    assert 0.05 < (found["train"] == found["test"]).double().mean() < 0.15
    _, y = next(examples.batches(examples.epoch("train", 1), 400))
    assert torch.equal(y[0], y[2]) and not torch.equal(y[0], y[1])


def test_without_noise_the_labels_are_the_datasets(build_examples, make_images):
    labels = labels_of_items(build_examples((0, 1), p=0.0), "train", 3)
    assert torch.equal(labels, make_images(400, 400).train_labels.long().expand(2, -1))


def test_labels_of_drawn_data_are_replaced_too():
    """Each stream's own labels: half of them keep their value, and half of the others get it."""
    data = build("dataset", {"name": "sparse_parity", "n": 8, "k": 2, "n_train": 4000, "n_test": 9})
    examples = Examples(data.load(), random_labels(0.5, 2), (3, 4), CPU, NumberFormat("fp32", CPU))
    drawn = examples.epoch("train", 1)
    local = drawn.table[..., 0] - torch.tensor([[0], [4000]])
    for s, seed in enumerate((3, 4)):
        _, labels = data.draw(seed, "train", 1)
        kept = drawn.y[s].argmax(1).numpy() == labels[local[s]]
        assert abs(kept.mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 4000)


def test_p_decides_the_identity_and_k_does_not(make_config):
    config = make_config(task="random_labels", task__p=0.1)
    assert config.identity() != make_config(task="random_labels", task__p=0.2).identity()
    assert config.identity() == make_config(task="random_labels", task__p=0.1, k=5).identity()
    assert config.task == random_labels(0.1)
    assert parse(config.resolved()) == config


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "1", True, None])
def test_other_fractions_are_refused(make_raw, value):
    raw = make_raw(task="random_labels")
    raw["task"]["p"] = value
    with pytest.raises(UserError, match=r"^task\.p="):
        parse(raw)


def test_random_labels_are_memorised_and_say_nothing_about_test_images(workdir, tmp_path, capsys):
    args = [
        "run", "task=random_labels", "task.p=1", "dataset=digits", "learning_rule=bp",
        "optimizer=adam", "optimizer.lr=0.003", "model.hidden=[512]", "trainer.epochs=20",
        "trainer.batch_size=32", "trainer.device=cpu", "seed=0",
    ]  # fmt: skip
    assert cli.main(args) == 0, capsys.readouterr().err
    [file] = tmp_path.glob("outputs/runs/*/summary.json")
    final = json.loads(file.read_text())["final"]
    assert final["train_accuracy"]["mean"] > 0.5
    assert abs(final["test_accuracy"]["mean"] - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 360)
