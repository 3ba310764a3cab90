import numpy as np
import pytest

from fabench.dataset.fashion_mnist import FashionMnist


@pytest.fixture
def images(real_data):
    return FashionMnist("fashion_mnist").load(real_data)


def test_classes_are_balanced(images):
    assert np.bincount(images.train_labels.numpy()).tolist() == [6000] * 10
    assert np.bincount(images.test_labels.numpy()).tolist() == [1000] * 10


def test_known_moments(images):
    # The customary 0.2860 and 0.3530 of pixels in 0..1.
    assert images.pixel_mean / 255 == pytest.approx(0.2860, abs=5e-5)
    assert images.pixel_std / 255 == pytest.approx(0.3530, abs=5e-5)
