"""Sparse parity follows its definition."""

from itertools import combinations

import numpy as np
import pytest

from fabench.run import registry
from fabench.schema import UserError


def bits(**settings):
    base = {"name": "sparse_parity", "n": 6, "k": 3, "n_train": 2000, "n_test": 1000}
    return registry.build("dataset", base | settings)


@pytest.mark.parametrize("stream", ["train", "test", "validation"])
@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_the_label_is_the_parity_of_k_bits_and_of_no_others(k, stream):
    x, y = bits(k=k).draw(0, stream, 1)
    assert x.shape == ((2000 if stream == "train" else 1000), 6) and x.dtype == np.float32
    assert set(np.unique(x)) == {-1, 1}
    assert abs(x.mean(0)).max() < 0.15
    fits = [
        subset
        for size in range(7)
        for subset in combinations(range(6), size)
        if np.array_equal(y, (x[:, subset] < 0).sum(1) % 2)
    ]
    assert fits == [tuple(sorted(bits(k=k).relevant(0)))]
    assert len(fits[0]) == k


def test_seeds_choose_their_own_bits():
    chosen = {tuple(sorted(bits(n=20).relevant(seed))) for seed in range(20)}
    assert len(chosen) > 15


def test_every_epoch_seed_and_stream_is_a_fresh_sample():
    dataset = bits(n=20, n_test=2000)
    streams = [(0, "train"), (1, "train"), (0, "test"), (0, "validation")]
    samples = [dataset.draw(*stream, epoch)[0] for stream in streams for epoch in (1, 2)]
    for one, other in combinations(samples, 2):
        assert not np.array_equal(one, other)
    assert np.array_equal(dataset.draw(0, "train", 1)[0], samples[0])


def test_more_relevant_bits_than_bits_are_refused():
    with pytest.raises(UserError, match="k=7: dataset.n=6 bits have no 7 relevant ones"):
        bits(k=7)


def test_k_is_the_runs_own(make_config):
    config = make_config(dataset="sparse_parity", k=5)
    assert (config.dataset.k, config.task.k) == (5, 1)
    assert "_k5" in config.name() and config.layers()[0].fan_in == 20
    assert config.identity() != make_config(dataset="sparse_parity", k=3).identity()
