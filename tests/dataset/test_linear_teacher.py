"""The linear teacher follows its definition."""

from itertools import combinations

import numpy as np
import pytest

from fabench.run import registry


def teacher(**settings):
    base = {"name": "linear_teacher", "n_train": 5000, "n_test": 3000}
    return registry.build("dataset", base | settings)


@pytest.mark.parametrize("stream", ["train", "test", "validation"])
def test_targets_are_linear_functions_of_normal_inputs(stream):
    x, y = teacher().draw(3, stream, 1)
    n = 5000 if stream == "train" else 3000
    assert (x.shape, y.shape) == ((n, 30), (n, 10)) and x.dtype == y.dtype == np.float32
    assert abs(x.mean(0)).max() < 5 / np.sqrt(n)
    np.testing.assert_allclose(np.cov(x.T), np.eye(30), atol=0.15)
    T, *_ = np.linalg.lstsq(x, y, rcond=None)
    np.testing.assert_allclose(x @ T, y, atol=1e-4)
    np.testing.assert_allclose(T, teacher().weights(3)[0], atol=1e-4)


def test_weights_are_uniform_and_the_seeds_own():
    T = np.stack([teacher().weights(seed)[0] for seed in range(50)])
    assert T.shape == (50, 30, 10)
    assert -1 < T.min() < -0.999 and 0.999 < T.max() < 1
    assert abs(T.mean()) < 5 / np.sqrt(3 * T.size)
    assert abs((T**2).mean() - 1 / 3) < 0.02
    assert len(np.unique(T)) == T.size


def test_every_epoch_seed_and_stream_is_a_fresh_sample():
    streams = [(0, "train"), (1, "train"), (0, "test"), (0, "validation")]
    samples = [
        teacher(n_train=50, n_test=50).draw(*s, epoch)[0] for s in streams for epoch in (1, 2)
    ]
    for one, other in combinations(samples, 2):
        assert np.intersect1d(one, other).size < 5  # of 1500: float32 numbers coincide
    assert np.array_equal(teacher(n_train=50).draw(0, "train", 1)[0], samples[0])
