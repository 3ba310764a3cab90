"""The two Gaussians follow their definition."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from fabench.run import registry
from fabench.schema import UserError


def two_gaussians(**settings):
    base = {"name": "two_gaussians", "n_train": 4000, "n_test": 3000}
    return registry.build("dataset", base | settings)


@pytest.mark.parametrize("stream", ["train", "test", "validation"])
def test_every_class_is_a_standard_normal_around_its_mean(stream):
    x, labels = two_gaussians().draw(0, stream, 1)
    n = 4000 if stream == "train" else 3000
    assert x.shape == (n, 2) and x.dtype == np.float32 and labels.shape == (n,)
    assert abs(labels.mean() - 0.5) < 4 * 0.5 / n**0.5
    for label, mean in ((0, 1), (1, -1)):
        own = x[labels == label] - mean
        for values in (own[:, 0], own[:, 1], own.sum(1) / 2**0.5, (own[:, 0] - own[:, 1]) / 2**0.5):
            assert kstest(values, "norm").pvalue > 1e-3  # the diagonals: no correlation


def test_the_line_between_them_has_the_errors_that_none_is_below():
    x, labels = two_gaussians(n_test=20000).draw(1, "test", 1)
    errors, expected = ((x.sum(1) > 0) == (labels == 1)).mean(), norm.cdf(-(2**0.5))
    assert abs(errors - expected) < 4 * (expected * (1 - expected) / 20000) ** 0.5


def test_the_set_is_the_same_in_every_epoch_and_differs_between_seeds_and_streams():
    dataset = two_gaussians(n_test=4000)
    x, y = dataset.draw(1, "train", 1)
    again = dataset.draw(1, "train", 2)
    assert np.array_equal(x, again[0]) and np.array_equal(y, again[1])
    for other in [(2, "train"), (1, "test"), (1, "validation")]:
        assert not np.array_equal(x, dataset.draw(*other, 1)[0])
    assert dataset.load().fixed


@pytest.mark.parametrize("change", [{"n_train": 0}, {"n_test": -1}])
def test_refusals(change):
    [key] = change
    with pytest.raises(UserError, match=rf"^dataset\.{key}"):
        two_gaussians(**change)
