"""The exclusive or follows its definition."""

import numpy as np
import pytest

from fabench.run import registry
from fabench.schema import UserError


def xor(n=2):
    return registry.build("dataset", {"name": "xor", "n": n})


@pytest.mark.parametrize("stream", ["train", "test", "validation"])
def test_the_truth_table(stream):
    x, labels = xor().draw(5, stream, 3)
    assert x.dtype == np.float32
    assert x.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert labels.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("n", [3, 8, 9])
def test_more_bits_are_all_their_patterns_and_whether_an_odd_number_is_on(n):
    dataset = xor(n)
    x, labels = dataset.draw(0, "train", 1)
    assert (dataset.n_inputs, dataset.n_train, dataset.n_test) == (n, 2**n, 2**n)
    assert sorted(map(tuple, x.astype(int).tolist())) == list(np.ndindex(*[2] * n))
    for pattern, label in zip(x.tolist(), labels.tolist(), strict=True):
        assert label == pattern.count(1.0) % 2
    assert dataset.load().fixed


@pytest.mark.parametrize("n", [1, 17])
def test_refusals(n):
    with pytest.raises(UserError, match=rf"^dataset\.n={n}: "):
        xor(n)


@pytest.mark.parametrize(("task", "outputs"), [("parity", 1), ("classification", 2)])
def test_k_does_not_matter(make_config, task, outputs):
    one, three = (make_config(dataset="xor", task=task, k=k) for k in (1, 3))
    assert one.identity() == three.identity()
    assert "_k" not in one.name()
    assert (one.layers()[0].fan_in, one.layers()[-1].fan_out) == (2, outputs)
