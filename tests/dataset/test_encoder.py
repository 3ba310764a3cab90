"""The encoder problem follows its definition."""

import numpy as np
import pytest

from fabench.run import registry
from fabench.schema import UserError


def encoder(n):
    return registry.build("dataset", {"name": "encoder", "n": n})


@pytest.mark.parametrize("n", [2, 5])
def test_every_pattern_is_there_once_for_every_seed_and_epoch(n):
    dataset = encoder(n)
    assert (dataset.n_inputs, dataset.n_train, dataset.n_test, dataset.n_classes) == (n, n, n, n)
    for stream in ("train", "test", "validation"):
        x, labels = dataset.draw(3, stream, 7)
        assert x.dtype == np.float32 and x.shape == (n, n)
        for pattern, label in zip(x.tolist(), labels.tolist(), strict=True):
            assert pattern == [1.0 if unit == label else 0.0 for unit in range(n)]
        assert sorted(labels) == list(range(n))
    assert dataset.load().fixed


def test_one_unit_is_no_problem():
    with pytest.raises(UserError, match=r"^dataset\.n=1: "):
        encoder(1)


def test_an_epoch_is_one_batch(make_config):
    config = make_config(
        dataset="encoder", dataset__n=4, task="classification", trainer__train_examples=None
    )
    assert config.steps(3) == 3
    more = make_config(dataset="encoder", dataset__n=4, task="classification")  # than there are
    assert more.steps(3) == 3
