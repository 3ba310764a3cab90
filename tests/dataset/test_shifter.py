"""The shifter follows its definition."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chisquare

from fabench.run import registry
from fabench.schema import UserError


def shifter(**settings):
    base = {"name": "shifter", "n": 8, "p": 0.3, "n_train": 3000, "n_test": 2000}
    return registry.build("dataset", base | settings)


@pytest.mark.parametrize("stream", ["train", "test", "validation"])
@pytest.mark.parametrize("n", [3, 8])
def test_the_second_half_is_the_first_shifted_to_the_right_by_the_label_less_one(n, stream):
    dataset = shifter(n=n)
    x, labels = dataset.draw(0, stream, 1)
    assert x.shape == ((3000 if stream == "train" else 2000), 2 * n) and x.dtype == np.float32
    assert dataset.n_inputs == 2 * n and set(np.unique(x)) == {0, 1}
    for row, label in zip(x.tolist(), labels.tolist(), strict=True):
        assert row[n:] == np.roll(row[:n], label - 1).tolist()


def test_bits_have_their_probability_and_shifts_are_equally_frequent():
    n = 9000
    x, labels = shifter(n_train=n, p=0.2).draw(1, "train", 1)
    assert (abs(x.mean(0) - 0.2) < 4.5 * (0.2 * 0.8 / n) ** 0.5).all()
    covariance = np.cov(x[:, :8].T) - 0.16 * np.eye(8)
    assert abs(covariance).max() < 4.5 * 0.16 / n**0.5
    assert chisquare(np.bincount(labels, minlength=3)).pvalue > 1e-3


def test_every_epoch_seed_and_stream_is_a_fresh_sample():
    dataset = shifter(n_test=3000)
    streams = [(0, "train"), (1, "train"), (0, "test"), (0, "validation")]
    samples = [dataset.draw(*stream, epoch)[0] for stream in streams for epoch in (1, 2)]
    for one, other in combinations(samples, 2):
        assert not np.array_equal(one, other)
    assert np.array_equal(dataset.draw(0, "train", 1)[0], samples[0])


@pytest.mark.parametrize("change", [{"n": 2}, {"p": 0.0}, {"p": 1.0}, {"n_train": 0}])
def test_refusals(change):
    [key] = change
    with pytest.raises(UserError, match=rf"^dataset\.{key}"):
        shifter(**change)


def test_a_network_classifies_the_shift(make_config):
    config = make_config(dataset="shifter", task="classification")
    assert (config.layers()[0].fan_in, config.layers()[-1].fan_out) == (16, 3)
    assert "_k" not in config.name()
