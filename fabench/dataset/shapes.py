"""Shapes: grey images of a rectangle, an ellipse or a triangle; which is it?

    q = R(psi) D(1/a, 1/b) R(phi) (p - c)                                      (1)
    pixel p is inside if q is inside the unit shape: a square, the disc, an equilateral triangle (2)

p: a pixel's centre, SIDE x SIDE of them; R: a rotation, D: a diagonal matrix; c, a, b, phi and psi
vary from item to item. All unit shapes lie in the unit circle, so that none leaves the image:

    max(a, b) ~ U(6, 15) pixels,  c ~ U([max(a, b), SIDE - max(a, b)]^2)       (3)

In a basic item a = b: squares, circles and equilateral triangles. In a full one the shorter is
U(0.4, 1) of the longer; a triangle may be any one (psi: where the triangle's corners are as it is
stretched), a rectangle keeps its right angles (psi = 0). Shape and background have a grey level
each, in [-1, 1], that differ by 0.4 at least. Label 0 is the rectangle's, 1 the ellipse's, 2 the
triangle's; every seed draws its own items, the training set once.

``basic``: the share of basic items in the training set, of which they are the first; test items are
full ones. What makes an item difficult, for ``trainer.curriculum_by``: ``variety``, 0 of a basic,
1 of a full one. Trained for E epochs by ``curriculum=easy_first``, a network sees basic items up to
epoch basic E, full ones from there.

Reference: Y. Bengio, J. Louradour, R. Collobert, J. Weston, "Curriculum learning", ICML 2009,
section 5.1 (BasicShapes and GeomShapes).

Differences from the paper:
1. Sizes, proportions and grey levels are ours: it names what varies, not how.
2. It has 10,000 items of either kind, whenever the switch comes; here ``n_train`` is of both.
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.dataset.base.drawn import DrawnDataset
from fabench.randomness import generator
from fabench.schema import STRICT, Count

SIDE = 32
RADIUS = (6.0, 15.0)
PROPORTION = 0.4
CONTRAST = 0.4
PORTION = 100  # images drawn at a time, as fit into a cache
RECTANGLE, ELLIPSE, TRIANGLE = range(3)

Array = NDArray[np.float32]
Float = NDArray[np.float64]


@dataclass(frozen=True, config=STRICT)
class Shapes(DrawnDataset):
    name: str
    basic: Annotated[float, Field(ge=0, le=1)]
    n_train: Count
    n_test: Count

    fresh = False
    n_classes = 3
    difficulties = ("variety",)

    @property
    def n_inputs(self) -> int:
        return SIDE * SIDE

    @property
    def item_shape(self) -> tuple[int, ...]:
        return (1, SIDE, SIDE)

    @property
    def n_basic(self) -> int:
        """How many training items are basic."""
        return round(self.basic * self.n_train)

    def draw(self, seed: int, stream: str, epoch: int) -> tuple[Array, NDArray[np.uint8]]:
        n, n_basic = self.size(stream), self.n_basic if stream == "train" else 0
        rng = generator(seed, f"shapes {stream}")
        labels = rng.integers(3, size=n)
        longer = rng.uniform(*RADIUS, size=n)  # (3)
        shorter = longer * np.where(np.arange(n) < n_basic, 1, rng.uniform(PROPORTION, 1, n))
        centre = longer[:, None] + rng.random((n, 2)) * (SIDE - 2 * longer)[:, None]  # (3)
        phi, psi = rng.uniform(0, 2 * np.pi, (2, n))
        background = rng.uniform(-1, 1, n)
        step = rng.uniform(CONTRAST, 2 - CONTRAST, n)  # around the circle of grey levels
        level = (background + 1 + step) % 2 - 1
        psi *= labels == TRIANGLE
        x = np.repeat(background.astype(np.float32)[:, None], self.n_inputs, axis=1)
        for i in range(0, n, PORTION):
            own = slice(i, i + PORTION)
            half_axes, angles = (longer[own], shorter[own]), (phi[own], psi[own])
            within = inside(labels[own], centre[own], *half_axes, *angles)
            np.copyto(x[own], level[own, None], "same_kind", where=within)
        return x, labels.astype(np.uint8)

    def difficulty(self, by: str, seed: int, x: Array) -> Float:
        return (np.arange(len(x)) >= self.n_basic).astype(np.float64)


def inside(
    labels: NDArray[np.int64], centre: Float, a: Float, b: Float, phi: Float, psi: Float
) -> NDArray[np.bool_]:
    """Which pixels [N, SIDE * SIDE] are inside of shapes of kind ``labels`` [N] around ``centre``
    [N, 2] (column, row), with half axes a, b [N] in pixels and angles [N]."""
    pixels = np.stack([np.arange(SIDE * SIDE) % SIDE, np.arange(SIDE * SIDE) // SIDE]) + 0.5
    p = pixels - centre[:, :, None]  # [N, 2, pixels]
    stretch = np.stack([1 / a, 1 / b], axis=1)[:, :, None] * _rotation(phi)
    q0, q1 = ((_rotation(psi) @ stretch) @ p).transpose(1, 0, 2)  # (1)
    square = np.maximum(np.abs(q0), np.abs(q1)) <= 1 / np.sqrt(2)
    disc = q0**2 + q1**2 <= 1
    triangle = np.maximum(q1, np.sqrt(3) / 2 * np.abs(q0) - q1 / 2) <= 1 / 2
    kinds = labels[:, None]
    return np.where(kinds == RECTANGLE, square, np.where(kinds == ELLIPSE, disc, triangle))  # (2)


def _rotation(angle: Float) -> Float:
    """R [N, 2, 2] of angles [N]."""
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c, -s, s, c], axis=1).reshape(-1, 2, 2)
