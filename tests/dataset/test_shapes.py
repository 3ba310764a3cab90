"""Shapes are those of their definition. Oracle: matplotlib's polygons, corners put in place one by
one, by the map from the unit shape to the image."""

import numpy as np
import pytest
from matplotlib.path import Path
from scipy.stats import chisquare

from fabench.dataset.shapes import ELLIPSE, RECTANGLE, SIDE, TRIANGLE, inside
from fabench.run import registry
from fabench.schema import UserError

CORNERS = {  # of the unit shapes, as angles on the unit circle
    RECTANGLE: np.radians([45, 135, 225, 315]),
    ELLIPSE: np.linspace(0, 2 * np.pi, 720, endpoint=False),
    TRIANGLE: np.radians([30, 150, 270]),
}


def shapes(**settings):
    base = {"name": "shapes", "basic": 0.5, "n_train": 60, "n_test": 40}
    return registry.build("dataset", base | settings)


@pytest.mark.parametrize("kind", CORNERS)
def test_a_pixel_is_inside_where_its_centre_is(kind):
    rng = np.random.default_rng(kind)
    a, b, phi, psi = rng.uniform(4, 15, 20), rng.uniform(3, 9, 20), *rng.uniform(0, 7, (2, 20))
    centre = rng.uniform(8, 24, (20, 2))
    found = inside(np.full(20, kind), centre, a, b, phi, psi).reshape(20, SIDE, SIDE)
    columns, rows = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)
    for n in range(20):
        corners = []
        for angle in CORNERS[kind]:
            x, y = np.cos(angle - psi[n]) * a[n], np.sin(angle - psi[n]) * b[n]
            c, s = np.cos(-phi[n]), np.sin(-phi[n])
            corners.append(centre[n] + (c * x - s * y, s * x + c * y))
        expected = Path(corners).contains_points(pixels).reshape(SIDE, SIDE)
        assert (found[n] != expected).sum() <= 1, "on the boundary itself, in float64"
        assert 20 < expected.sum() < 900


@pytest.mark.parametrize("stream", ["train", "test", "validation"])
def test_an_image_is_a_shape_of_one_grey_on_another(stream):
    x, labels = shapes(n_train=300, n_test=300).draw(1, stream, 1)
    assert x.shape == (300, SIDE * SIDE) and x.dtype == np.float32
    assert chisquare(np.bincount(labels, minlength=3)).pvalue > 1e-3
    for image in x:
        low, high = np.unique(image)
        assert low >= -1 and high <= 1 and high - low >= 0.4 - 1e-6
    assert x[:, 0].std() > 0.4


def spread(images):
    """The longer over the shorter axis of what differs from the corner's grey, squared [N]."""
    rows, columns = np.divmod(np.arange(SIDE * SIDE), SIDE)
    ratios = []
    for image in images:
        on = image != image[0]
        ratios.append(np.divide(*np.linalg.eigvalsh(np.cov(rows[on], columns[on]))[::-1]))
    return np.array(ratios)


def test_the_first_training_items_are_basic_and_all_others_are_not():
    """Of squares, circles and equilateral triangles all axes are equal."""
    dataset = shapes(basic=0.4)
    x, _ = dataset.draw(0, "train", 1)
    variety = dataset.difficulty("variety", 0, x)
    assert variety.tolist() == [0] * 24 + [1] * 36
    basic, full = spread(x[:24]), spread(x[24:])
    assert basic.max() < 1.2 and (full > 1.3).mean() > 0.6
    test, _ = dataset.draw(0, "test", 1)
    assert (spread(test) > 1.3).mean() > 0.6
    assert shapes(basic=0.0).n_basic == 0 and shapes(basic=1.0).n_basic == 60


def test_every_seed_and_stream_has_its_own_items_in_all_epochs():
    dataset = shapes(n_test=60)
    kinds = [(0, "train"), (1, "train"), (0, "test"), (0, "validation")]
    drawn = {kind: dataset.draw(*kind, 1)[0].tobytes() for kind in kinds}
    assert len(set(drawn.values())) == 4
    assert drawn[0, "train"] == dataset.draw(0, "train", 2)[0].tobytes()


@pytest.mark.parametrize("value", [-0.1, 1.1, "half", True, None], ids=str)
def test_values_out_of_range_are_refused(value):
    with pytest.raises(UserError, match=r"^dataset\.basic="):
        shapes(basic=value)
