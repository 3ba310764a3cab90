"""Training items in the order of a curriculum.

Oracles: orders written down by hand, and counts.
"""

import numpy as np
import pytest
import torch

from fabench.population.examples import Examples
from fabench.population.order import Order
from fabench.population.precision import NumberFormat
from fabench.run import registry
from fabench.task.parity import Parity

CPU = torch.device("cpu")
D = {"d": np.array([3.0, 1, 2, 0, 5, 4])}
TWO = {"d": np.repeat([0.0, 1.0], 10)}


def items(order, epoch, difficulties, seed=0):
    found = order.items(seed, epoch, len(difficulties["d"]), difficulties)
    return None if found is None else found.tolist()


def test_an_epoch_sees_its_part_of_the_sorted_items_again_and_again():
    easy, hard = (Order(by="d", hard_first=hard, epochs=3) for hard in (False, True))
    assert [items(easy, e, D) for e in (1, 2, 3)] == [[3, 1] * 3, [2, 0] * 3, [5, 4] * 3]
    assert [items(hard, e, D) for e in (1, 2, 3)] == [[4, 5] * 3, [0, 2] * 3, [1, 3] * 3]
    assert items(Order(by="d", epochs=1), 1, D) == [3, 1, 2, 0, 5, 4]
    halves = Order(by="d", epochs=2)
    five = {"d": D["d"][:5]}
    assert [items(halves, e, five) for e in (1, 2)] == [[3, 1, 2, 3, 1], [2, 0, 4, 2, 0]]
    many = Order(by="d", epochs=12)  # more epochs than items: one at a time
    assert [items(many, e, D)[0] for e in range(1, 13)] == [3, 3, 1, 1, 2, 2, 0, 0, 5, 5, 4, 4]


def test_before_and_after_the_curriculum_epochs_are_as_ever():
    order = Order(by="d", epochs=3)
    assert items(order, 0, D) is None and items(order, 4, D) is None
    plain = Order(shuffle=False, by="d", epochs=3)
    assert items(plain, 4, D) == items(plain, 0, D) == [0, 1, 2, 3, 4, 5]
    assert items(Order(shuffle=False), 1, D) == [0, 1, 2, 3, 4, 5] and items(Order(), 1, D) is None


def test_items_of_equal_difficulty_take_turns():
    """The switch from one kind to the other comes after half of the epochs."""
    order = Order(by="d", epochs=4)
    seen = [items(order, e, TWO) for e in (1, 2, 3, 4)]
    assert all(len(epoch) == 20 for epoch in seen)
    assert {*seen[0]} | {*seen[1]} == {*range(10)} and {*seen[2]} | {*seen[3]} == {*range(10, 20)}
    assert len({*map(tuple, np.reshape(seen[0], (4, 5)).tolist())}) == 4, "each pass is another"
    assert items(order, 1, TWO) == seen[0] != items(order, 1, TWO, seed=1)


@pytest.mark.parametrize("by", ["irrelevant", "margin"])
def test_every_stream_is_sorted_by_its_own_difficulties(by):
    sizes = {"n_relevant": 4, "n_irrelevant": 5, "low": -1.0, "n_train": 30, "n_test": 20}
    data = registry.build("dataset", {"name": "irrelevant_inputs", **sizes}).load()
    order, operand = Order(by=by, epochs=1), NumberFormat("fp32", CPU)
    task = Parity(name="parity", k=1)
    examples = Examples(data, task, (3, 5, 3), CPU, operand, order)
    [(x, y)] = examples.batches(examples.epoch("train", 1), 30)
    for s, seed in enumerate((3, 5)):
        drawn, labels = data.dataset.draw(seed, "train", 1)
        rows = {tuple(row): (labels[n], n) for n, row in enumerate(drawn)}
        found = [rows[tuple(row)] for row in x[s].numpy()]
        assert [label for label, _ in found] == y[s, :, 0].tolist()
        assert sorted(n for _, n in found) == list(range(30))
        d = data.dataset.difficulty(by, seed, drawn)
        assert (np.diff([d[n] for _, n in found]) >= 0).all() and np.ptp(d) > 0
