"""Axes: R rows, N examples, C outputs."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from fabench.command import cli
from fabench.population.examples import Examples
from fabench.population.precision import NumberFormat
from fabench.run.parsing import parse
from fabench.run.registry import build
from fabench.schema import UserError

LOSSES = ["sigmoid_cross_entropy", "squared_error", "sigmoid_squared_error"]
ENCODER = {"dataset": "encoder", "task": "reconstruction"}


def reconstruction(n=4, loss="sigmoid_cross_entropy"):
    return build("task", {"name": "reconstruction", "loss": loss, "n_inputs": n})


def test_the_target_is_the_input():
    data, cpu = build("dataset", {"name": "encoder", "n": 5}).load(), torch.device("cpu")
    examples = Examples(data, reconstruction(5), [0, 1], cpu, NumberFormat("fp32", cpu))
    [(x, y)] = examples.batches(examples.epoch("train", 1), 128)
    assert x.shape == (2, 5, 5)
    assert torch.equal(x, y)
    assert not torch.equal(y[0], y[1])  # seeds have their own order


@pytest.mark.parametrize("loss", LOSSES)
def test_right_is_every_output_on_its_side_of_one_half(loss):
    """Two runs, three examples, four outputs: no axis can stand for another."""
    y = torch.eye(4)[torch.tensor([[0, 1, 2], [3, 3, 0]])]
    prediction = torch.where(y > 0, 0.51, 0.49)
    prediction[0, 1, 1] = 0.49  # the pattern's own unit
    prediction[1, 2, 3] = 0.51  # another one, though the largest output is the right one
    prediction[1, 2, 0] = 0.9
    output = prediction if loss == "squared_error" else prediction.logit()
    right = reconstruction(4, loss).correct(output, y)
    assert right.dtype == torch.bool
    assert right.tolist() == [[True, False, True], [True, True, False]]


@pytest.mark.parametrize("loss", LOSSES)
def test_what_it_says_of_itself(make_config, loss):
    settings = {**ENCODER, "dataset__n": 6, "task__loss": loss}
    config = make_config(**settings)
    assert (config.task.items_per_example, config.task.n_outputs) == (1, 6)
    assert config.task.chance == 1 / 6
    assert (config.layers()[0].fan_in, config.layers()[-1].fan_out) == (6, 6)
    assert parse(config.resolved()) == config
    assert config.identity() == make_config(**settings, k=5).identity()
    assert "_encoder_reconstruction_" in config.name()


@pytest.mark.parametrize("dataset", ["digits", "clusters", "sparse_parity"])
def test_other_datasets_are_refused(make_raw, dataset):
    with pytest.raises(UserError, match=rf"^dataset={dataset}, task=reconstruction: .*encoder"):
        parse(make_raw(dataset=dataset, task="reconstruction"))


def test_a_softmax_is_refused(make_raw):
    with pytest.raises(UserError, match=r"^task\.loss=softmax_cross_entropy: "):
        parse(make_raw(**ENCODER, task__loss="softmax_cross_entropy"))


# -- In training -----------------------------------------------------------------------------


def test_backpropagation_finds_a_code(workdir, tmp_path, capsys):
    args = [
        "dataset=encoder", "dataset.n=4", "task=reconstruction", "learning_rule=bp",
        "model.hidden=[2]", "model.activation=sigmoid", "model.bias=true", "optimizer.lr=4",
        "trainer.epochs=200", "trainer.metrics_every=20", "trainer.device=cpu", "seed=[0,1]",
    ]  # fmt: skip
    assert cli.main(["run", *args]) == 0, capsys.readouterr().err
    [folder] = tmp_path.glob("outputs/runs/*")
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary["final"]["test_accuracy"]["per_seed"].values()) == {1.0}
    assert "test_accuracy_of_class" not in summary
    metrics = pd.read_csv(folder / "metrics.csv")
    before = metrics[metrics.epoch == 0]
    assert (before.test_accuracy < 1).all()
    np.testing.assert_array_equal(before.train_accuracy, before.test_accuracy)
