import json

import numpy as np
import pandas as pd
import pytest
import torch

from fabench.command import cli
from fabench.population.population import Row
from fabench.run.parsing import parse
from fabench.run.registry import build
from fabench.run.store import RunFolder
from fabench.run.trainer import population_of
from fabench.schema import UserError

LOSSES = [
    "softmax_cross_entropy",
    "sigmoid_cross_entropy",
    "squared_error",
    "sigmoid_squared_error",
]


def classification(n_classes=10, loss="softmax_cross_entropy"):
    return build("task", {"name": "classification", "loss": loss, "n_classes": n_classes})


def test_the_target_is_one_at_the_label():
    labels = torch.tensor([[[2], [0]], [[1], [1]], [[0], [2]]], dtype=torch.uint8)  # [3, 2, 1]
    assert classification(3).targets(labels).tolist() == [
        [[0, 0, 1], [1, 0, 0]], [[0, 1, 0], [0, 1, 0]], [[1, 0, 0], [0, 0, 1]],
    ]  # fmt: skip


@pytest.mark.parametrize("s", [0.0, 0.1, 0.7])
def test_smoothed_labels_are_torchs(s):
    task = build("task", {"name": "classification", "loss": "softmax_cross_entropy",
                          "n_classes": 5, "label_smoothing": s})  # fmt: skip
    rng = np.random.default_rng(0)
    output = torch.tensor(rng.normal(size=(2, 6, 5)), requires_grad=True)
    labels = torch.from_numpy(rng.integers(5, size=(2, 6)))
    y = task.targets(labels[..., None])
    assert y.dtype == torch.float32
    theirs = torch.nn.functional.cross_entropy(
        output.transpose(1, 2), labels, label_smoothing=s, reduction="none"
    )
    torch.testing.assert_close(task.objective.value(output, y.double()), theirs, rtol=1e-6, atol=0)
    [gradient] = torch.autograd.grad(theirs.sum(), output)
    error = task.objective.error(output.detach(), y.double())
    torch.testing.assert_close(error, gradient, rtol=1e-6, atol=1e-7)
    assert torch.equal(task.correct(output, y), output.argmax(-1) == labels)


@pytest.mark.parametrize("rule", ["forward_forward", "contrastive_divergence"])
def test_rules_that_learn_from_the_class_have_no_smoothed_labels(make_config, rule):
    settings = {"learning_rule": rule, "task": "classification", "model__activation": "sigmoid"}
    settings["dataset__scaling"] = "unit"
    assert make_config(**settings).task.label_smoothing == 0
    with pytest.raises(UserError, match=r"needs task\.label_smoothing=0"):
        make_config(**settings, task__label_smoothing=0.1)


def test_drtp_sends_the_smoothed_target(make_config):
    """delta_1 = -y* B_1 ⊙ f'(a_1), so that dW_1 = h_0^T delta_1."""
    config = make_config(
        learning_rule="drtp", task="classification", task__label_smoothing=0.2,
        model__activation="linear", trainer__precision="fp32",
    )  # fmt: skip
    people = population_of(config, [Row(0, config.scalars())], torch.device("cpu"))
    x, y = torch.rand(1, 4, 64), config.task.targets(torch.tensor([[[3], [0], [9], [3]]]))
    found = people.part(slice(0, 1)).wishes(x, y)["W0"]
    torch.testing.assert_close(found, -x.mT @ y @ people.tensors["B0"] / 4)


def test_correct_is_the_largest_output_of_each_example():
    """Two runs, three examples, four classes: no axis can stand for another."""
    rng = np.random.default_rng(0)
    output = rng.normal(size=(2, 3, 4))
    labels = rng.integers(4, size=(2, 3))
    labels[0, 1] = max(range(4), key=lambda c: output[0, 1, c])
    y = classification(4).targets(torch.from_numpy(labels[..., None]))
    expected = [
        [max(range(4), key=lambda c: output[r, n, c]) == labels[r, n] for n in range(3)]
        for r in range(2)
    ]
    correct = classification(4).correct(torch.from_numpy(output), y)
    assert correct.dtype == torch.bool
    assert correct.tolist() == expected
    assert 0 < correct.sum() < 6


def test_what_it_says_of_itself():
    task = classification(5)
    assert (task.items_per_example, task.n_outputs, task.chance) == (1, 5, 0.2)


@pytest.mark.parametrize(
    ("dataset", "inputs", "classes"),
    [("mnist", 784, 10), ("fashion_mnist", 784, 10), ("digits", 64, 10), ("clusters", 15, 2),
     ("sparse_parity", 20, 2)],
)  # fmt: skip
def test_the_network_fits_the_dataset_whatever_k_is(make_config, dataset, inputs, classes):
    config = make_config(dataset=dataset, task="classification", k=3)
    layers = config.layers()
    assert (layers[0].fan_in, layers[-1].fan_out) == (inputs, classes)
    assert config.task.chance == 1 / classes
    assert parse(config.resolved()) == config


def test_k_is_no_part_of_the_run(make_config):
    one, three = (make_config(task="classification", k=k) for k in (1, 3))
    assert not one.uses_k
    assert one.identity() == three.identity() and one.name() == three.name()
    assert one.name().startswith("dfa_sgd_digits_classification_uniform_lr")
    bits = [make_config(dataset="sparse_parity", task="classification", k=k) for k in (1, 3)]
    assert bits[0].identity() != bits[1].identity() and "_k1_" in bits[0].name()


def test_the_loss_decides_the_identity(make_config):
    configs = [make_config(task="classification", task__loss=loss) for loss in LOSSES]
    assert len({config.identity() for config in [*configs, make_config()]}) == 5


@pytest.mark.parametrize("value", ["hinge", 1, None])
def test_other_losses_are_refused(make_raw, value):
    raw = make_raw(task="classification")
    raw["task"]["loss"] = value
    with pytest.raises(UserError, match=r"^task\.loss="):
        parse(raw)


# -- In training -----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_backpropagation_learns_digits(workdir, tmp_path, capsys, loss):
    args = [
        "run", "task=classification", f"task.loss={loss}", "dataset=digits", "learning_rule=bp",
        "optimizer=adam", "optimizer.lr=0.01", "model.hidden=[64]", "trainer.epochs=4",
        "trainer.batch_size=32", "trainer.device=cpu", "seed=[0,1]",
    ]  # fmt: skip
    assert cli.main(args) == 0, capsys.readouterr().err
    assert "digits, classification\n" in capsys.readouterr().out
    [file] = tmp_path.glob("outputs/runs/*/summary.json")
    accuracy = json.loads(file.read_text())["final"]["test_accuracy"]["per_seed"]
    assert min(accuracy.values()) > 0.9


@pytest.mark.parametrize("s", [0.0, 0.3])
def test_the_summary_has_every_classs_test_accuracy(workdir, tmp_path, capsys, s):
    """Weighted by the classes' sizes they give the accuracy; a diverged seed has none."""
    args = ["task=classification", f"task.label_smoothing={s}", "dataset=digits",
            "trainer.epochs=1", "trainer.device=cpu", "model.hidden=[5]", "seed=[3,1]"]  # fmt: skip
    assert cli.main(["run", *args]) == 0, capsys.readouterr().err
    [file] = tmp_path.glob("outputs/runs/*/summary.json")
    summary = json.loads(file.read_text())
    found = summary["test_accuracy_of_class"]
    sizes = np.bincount(build("dataset", {"name": "digits"}).load().test_labels)
    for seed, accuracy in summary["final"]["test_accuracy"]["per_seed"].items():
        of_class = np.array(found["per_seed"][seed])
        assert len(set(of_class)) > 2
        assert of_class @ sizes / 360 == pytest.approx(accuracy, rel=1e-9)
    assert found["mean"] == pytest.approx(np.mean(list(found["per_seed"].values()), 0).tolist())
    counts = np.array(summary["test_confusion"])
    np.testing.assert_array_equal(counts.sum(1), 2 * sizes)
    assert counts.trace() / 720 == pytest.approx(summary["final"]["test_accuracy"]["mean"])


def test_a_class_without_examples_and_a_diverged_seed_have_no_accuracy(make_config, tmp_path):
    folder = RunFolder(make_config(seed=[3, 1], output_dir=str(tmp_path)))
    folder.path.mkdir(parents=True)
    values = {"train_loss": 1.0, "test_loss": 1.0, "test_accuracy": 0.5, "seconds": 1.0}
    seeds = pd.DataFrame({"seed": [3, 1], "epoch": 1, "diverged": [1, 0]})
    folder.write_metrics(seeds.assign(**values))
    folder.write_summary(
        np.array([[[1, 1, 0], [1, 1, 0], [0, 1, 1]], [[2, 0, 0], [0, 0, 0], [2, 1, 1]]])
    )
    found = json.loads((folder.path / "summary.json").read_text())
    by_class = {"mean": [1.0, None, 0.25], "per_seed": {"1": [1.0, None, 0.25]}}
    assert found["test_accuracy_of_class"] == by_class
    assert found["test_confusion"] == [[2, 0, 0], [0, 0, 0], [2, 1, 1]]
