"""What every task must do. A new one is tested by being there.

Axes: R rows, B batch, C outputs, N examples, M items.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from by_hand import HandPart
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from fabench.learning_rule.bp import Bp
from fabench.run import registry

CONF = Path(__file__).parents[2] / "conf" / "task"
NAMES = registry.names("task")

LOSSES = {  # of one example's output a [C] and target y [C], by torch
    "sigmoid_cross_entropy": lambda a, y: binary_cross_entropy_with_logits(a, y, reduction="sum"),
    "softmax_cross_entropy": lambda a, y: cross_entropy(a, y.argmax()),
    "squared_error": lambda a, y: mse_loss(a, y, reduction="sum") / 2,
    "sigmoid_squared_error": lambda a, y: mse_loss(a.sigmoid(), y, reduction="sum") / 2,
}
TASKS = [({"name": "parity", "k": 2}, "sigmoid_cross_entropy")] + [
    ({"name": name, "loss": loss, "n_classes": 4, **settings}, loss)
    for name, settings in [("classification", {}), ("random_labels", {"p": 0.5})]
    for loss in LOSSES
]
TASKS.append(({"name": "regression", "n_targets": 4}, "squared_error"))
TASKS += [
    ({"name": name, "loss": loss, key: 4}, loss)
    for name, key in [("reconstruction", "n_inputs"), ("multi_label", "n_targets")]
    for loss in LOSSES
    if loss != "softmax_cross_entropy"
]
every_task = pytest.mark.parametrize(
    ("task", "loss"),
    [(registry.build("task", task), loss) for task, loss in TASKS],
    ids=[f"{task['name']} {loss}" for task, loss in TASKS],
)


def labels(task, R=3, B=4):
    """Random labels [R, B, k]; for regression targets [R, B, k, C], of several labels bits."""
    rng, k = torch.Generator().manual_seed(1), task.items_per_example
    if task.name == "regression":
        return torch.randn(R, B, k, task.n_outputs, generator=rng)
    if task.name == "multi_label":
        return torch.randint(2, (R, B, k, task.n_outputs), generator=rng).float()
    return torch.randint(max(2, task.n_outputs), (R, B, k), generator=rng, dtype=torch.uint8)


def test_every_task_is_here():
    assert {task["name"] for task, _ in TASKS} == set(NAMES)


@every_task
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4, 3)], ids=str)
def test_backpropagated_error_is_the_gradient_of_each_examples_loss(
    draw_network, task, loss, hidden
):
    net, y = (
        draw_network((6, *hidden, task.n_outputs), bias=True),
        task.targets(labels(task)).double(),
    )
    part = HandPart(net.layers, **vars(net.weights))
    passed = part.forward(net.x)
    value, e = task.objective.value(passed.output, y), task.objective.error(passed.output, y)
    deltas = Bp(name="bp").teaching_signals(e, net.y, passed, part)

    W = [w.clone().requires_grad_() for w in net.weights.W]
    expected = torch.zeros(3, 4, dtype=torch.float64)
    for r in range(3):
        for n in range(4):
            h = net.x[r, n]
            for index, w in enumerate(W):
                a = h @ w[r] + net.weights.b[index][r, 0]
                h = torch.tanh(a)
            expected[r, n] = LOSSES[loss](a, y[r, n])
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=1e-14)
    expected.sum().backward()
    for index, (h, w) in enumerate(zip(passed.h, W, strict=True)):
        assert w.grad.any()
        torch.testing.assert_close(h.mT @ deltas[index], w.grad, rtol=1e-10, atol=1e-13)


@every_task
def test_an_epoch_uses_every_item_once_in_every_place(task, loss):
    table = task.table(np.random.default_rng(0), 50)
    assert table.shape == (50, task.items_per_example) and table.dtype == np.int64
    np.testing.assert_array_equal(np.sort(table, 0), np.arange(50)[:, None] + 0 * table)
    assert (table[:, 0] != np.arange(50)).any()


@every_task
def test_targets_are_float32_and_one_output_each(task, loss):
    y = task.targets(labels(task, 2, 7))
    assert y.shape == (2, 7, task.n_outputs) and y.dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_yaml_and_test_stand_beside_the_module(name):
    lines = (CONF / f"{name}.yaml").read_text().splitlines()
    assert lines[0].startswith("# ") and lines[0][-1] in ".?"
    assert lines[1] == f"name: {name}"
    assert (Path(__file__).parent / f"test_{name}.py").is_file()
