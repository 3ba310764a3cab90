"""Axes: R rows, N examples, C outputs."""

import json

import pytest
import torch

from fabench.command import cli
from fabench.population.examples import Examples
from fabench.population.precision import NumberFormat
from fabench.run.parsing import parse
from fabench.run.registry import build
from fabench.schema import UserError

LOSSES = ["sigmoid_cross_entropy", "squared_error", "sigmoid_squared_error"]
TREES = {"dataset": "family_trees", "task": "multi_label"}


def multi_label(n=4, loss="sigmoid_cross_entropy"):
    return build("task", {"name": "multi_label", "loss": loss, "n_targets": n})


def test_targets_are_those_of_the_dataset():
    dataset, cpu = build("dataset", {"name": "family_trees", "n_train": 90, "n_test": 8}), "cpu"
    device = torch.device(cpu)
    examples = Examples(
        dataset.load(), multi_label(24), [0, 1], device, NumberFormat("fp32", device)
    )
    for split, n in (("train", 90), ("test", 8)):
        [(x, y)] = examples.batches(examples.epoch(split, 1), 128)
        assert (x.shape, y.shape) == ((2, n, 36), (2, n, 24))
        for r, seed in enumerate([0, 1]):
            drawn = dataset.draw(seed, split, 1)
            expected = {
                tuple(a): tuple(b) for a, b in zip(*(d.tolist() for d in drawn), strict=True)
            }
            found = {tuple(a): tuple(b) for a, b in zip(x[r].tolist(), y[r].tolist(), strict=True)}
            assert found == expected and len(found) == n


@pytest.mark.parametrize("loss", LOSSES)
def test_right_is_every_output_on_its_side_of_one_half(loss):
    """Two runs, three examples, four outputs, of which two, one or none are on."""
    y = torch.tensor([[[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]] * 2)
    prediction = torch.where(y > 0, 0.51, 0.49)
    prediction[0, 0, 1] = 0.49  # one of two
    prediction[1, 1, 2] = 0.51
    prediction[1, 2, 3] = 0.9
    output = prediction if loss == "squared_error" else prediction.logit()
    right = multi_label(4, loss).correct(output, y)
    assert right.dtype == torch.bool
    assert right.tolist() == [[False, True, True], [True, False, True]]


@pytest.mark.parametrize("loss", LOSSES)
def test_what_it_says_of_itself(make_config, loss):
    config = make_config(**TREES, task__loss=loss)
    assert (config.task.items_per_example, config.task.n_outputs, config.task.chance) == (1, 24, 0)
    assert parse(config.resolved()) == config
    assert config.identity() == make_config(**TREES, task__loss=loss, k=5).identity()
    assert "_family_trees_multi_label_" in config.name()


def test_a_softmax_is_refused(make_raw):
    with pytest.raises(UserError, match=r"^task\.loss=softmax_cross_entropy: "):
        parse(make_raw(**TREES, task__loss="softmax_cross_entropy"))


# -- In training -----------------------------------------------------------------------------


def test_backpropagation_learns_the_training_facts(workdir, tmp_path, capsys):
    args = [
        "dataset=family_trees", "task=multi_label", "learning_rule=bp", "optimizer=adam",
        "optimizer.lr=0.01", "model.hidden=[48]", "model.bias=true", "trainer.epochs=100",
        "trainer.batch_size=20",
        "trainer.metrics_every=50", "trainer.device=cpu", "seed=[0,1]",
    ]  # fmt: skip
    assert cli.main(["run", *args]) == 0, capsys.readouterr().err
    [folder] = tmp_path.glob("outputs/runs/*")
    summary = json.loads((folder / "summary.json").read_text())
    assert min(summary["final"]["train_accuracy"]["per_seed"].values()) > 0.95
    assert "test_accuracy_of_class" not in summary
