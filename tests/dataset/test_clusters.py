"""Cluster data follow their definition; every seed has its labeling."""

import numpy as np
import pytest
from scipy.stats import kstest

from fabench.dataset.clusters import LABELINGS
from fabench.run import registry
from fabench.schema import UserError


def clusters(**settings):
    base = {"name": "clusters", "d": 6, "n_train": 4000, "n_test": 3000, "zeros": None}
    return registry.build("dataset", base | settings)


def nearest_centre(x):
    """Cluster 0 to 8 (first coordinate slowest) of every point, and its distance and angle."""
    ticks = np.array([-0.375, 0.0, 0.375])
    centres = np.array([(a, b) for a in ticks for b in ticks])
    offsets = x[:, None, 1:3] - centres
    distances = np.linalg.norm(offsets, axis=2)
    cluster = distances.argmin(1)
    chosen = offsets[np.arange(len(x)), cluster]
    return cluster, distances.min(1), np.arctan2(chosen[:, 1], chosen[:, 0])


@pytest.mark.parametrize("stream", ["train", "test", "validation"])
def test_points_lie_in_nine_discs_among_noise(stream):
    x, labels = clusters().draw(0, stream, 1)
    assert x.shape == ((4000 if stream == "train" else 3000), 6) and x.dtype == np.float32
    assert (x[:, 0] == 1).all()
    cluster, radius, angle = nearest_centre(x)
    counts = np.bincount(cluster, minlength=9)
    assert len(counts) == 9 and counts.min() > 0.8 * len(x) / 9
    assert radius.max() <= 1 / 8 + 1e-6
    assert kstest(radius * 8, "uniform").pvalue > 1e-3  # the radius, not the area
    assert kstest(angle / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-3
    for noise in x.T[3:]:
        assert kstest(noise + 0.5, "uniform").pvalue > 1e-3
    zeros = clusters().labeling(0)
    np.testing.assert_array_equal(labels == 0, np.isin(cluster, zeros))


def test_named_labelings():
    x, labels = clusters(zeros=[0, 5, 7, 8]).draw(3, "test", 0)
    cluster, _, _ = nearest_centre(x)
    np.testing.assert_array_equal(labels == 0, np.isin(cluster, [0, 5, 7, 8]))


def test_the_first_126_seeds_have_all_labelings():
    dataset = clusters()
    assert len(LABELINGS) == 126 and all(len(zeros) == 4 for zeros in LABELINGS)
    assert sorted(dataset.labeling(seed) for seed in range(126)) == LABELINGS
    assert dataset.labeling(126) == dataset.labeling(0)
    assert [dataset.labeling(seed) for seed in range(9)] != LABELINGS[:9]


def test_the_set_is_the_same_in_every_epoch_and_differs_between_seeds_and_streams():
    dataset = clusters(n_test=4000)
    x, y = dataset.draw(1, "train", 1)
    again = dataset.draw(1, "train", 2)
    assert np.array_equal(x, again[0]) and np.array_equal(y, again[1])
    for other in [(2, "train"), (1, "test"), (1, "validation")]:
        assert not np.array_equal(x, dataset.draw(*other, 1)[0])


@pytest.mark.parametrize("change", [{"d": 2}, {"zeros": [9]}, {"zeros": []}, {"n_train": 0}])
def test_refusals(change):
    [key] = change
    with pytest.raises(UserError, match=rf"^dataset\.{key}"):
        clusters(**change)


def test_k_does_not_matter(make_config):
    one, three = (make_config(dataset="clusters", k=k) for k in (1, 3))
    assert one.identity() == three.identity() and one.name() == three.name()
    assert "_k" not in one.name()
    assert one.layers()[0].fan_in == three.layers()[0].fan_in == 15
    assert one.identity() != make_config(dataset="clusters", dataset__d=16).identity()
