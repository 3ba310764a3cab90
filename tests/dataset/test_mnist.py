"""The real datasets: what is known about them."""

import numpy as np
import pytest

from fabench.dataset.mnist import Mnist


@pytest.fixture
def images(real_data):
    return Mnist("mnist").load(real_data)


def test_known_label_counts(images):
    counts = np.bincount(images.train_labels.numpy()).tolist()
    assert counts == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    counts = np.bincount(images.test_labels.numpy()).tolist()
    assert counts == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_known_moments(images):
    assert images.pixel_mean == pytest.approx(33.3184, abs=5e-5)
    assert images.pixel_std == pytest.approx(78.5675, abs=5e-5)
    # The customary 0.1307 and 0.3081 of pixels in 0..1.
    assert images.pixel_mean / 255 == pytest.approx(0.1307, abs=5e-5)
    assert images.pixel_std / 255 == pytest.approx(0.3081, abs=5e-5)


def test_the_first_labels(images):
    assert images.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert images.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_source_is_the_folder(images, real_data):
    assert images.source.startswith(real_data)
