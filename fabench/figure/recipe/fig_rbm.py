"""What classification RBMs of three objectives have learned of MNIST: samples and filters.

The machines are those of ``table_rbm``, of the first seed. Samples: x | y, by Gibbs chains from
test images of the class, which is held, STEPS times hidden units and inputs; drawn is the last
step's p(x | h). Longer chains leave the digits: one step of contrastive divergence shapes the
energy near the data only, and after 100 steps most samples are blank or one dark blob.
Filters: the columns of W of the first hidden units, each divided by its largest weight, so that
grey is 0.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit

from fabench.dataset.base.images import ImageDataset
from fabench.figure import style
from fabench.figure.embedding import Array
from fabench.figure.recipe import table_rbm
from fabench.figure.recipe.table_rbm import PUBLISHED
from fabench.randomness import generator
from fabench.run.store import RunFolder

EXPERIMENTS = table_rbm.EXPERIMENTS
FIGURES = ("table_rbm",)
INTERVAL = ""
ON_REQUEST = True  # those of table_rbm
FROM_RUNS = "weights"

STEPS = 10
ROWS, COLUMNS = 6, 10


@dataclass(frozen=True)
class Machine:
    """W [I, H], U [H, C], and the biases v [I] of inputs, c [H] of hidden units."""

    W: Array
    U: Array
    v: Array
    c: Array

    def samples(self, x: Array, steps: int, rng: np.random.Generator) -> Array:
        """p(x | h) [C, N, I] after so many steps of N chains of every class, which begin with bits
        of the probabilities ``x`` [C, N, I]."""
        given_y, p = self.U.T[:, None] + self.c, x
        for _ in range(steps):
            bits = rng.random(p.shape, np.float32) < p
            p_h = expit(bits.astype(np.float32) @ self.W + given_y)
            h = rng.random(p_h.shape, np.float32) < p_h
            p = expit(h.astype(np.float32) @ self.W.T + self.v)
        return p


def draw(frame: pd.DataFrame) -> Figure:
    """Samples of the generative machine, and each one's filters."""
    folders = {name: Path(rows.folder.iloc[0]) for name, rows in frame.groupby("objective")}
    with style.canvas(2, 2, height=2.3) as (figure, panels):
        samples, *filters = panels.flat
        generative = machine(folders["generative"])
        start = test_images(folders["generative"])
        drawn = generative.samples(start, STEPS, generator(0, "samples", 0))
        mosaic(samples, drawn, "generative: samples of each class")
        for axes, name in zip(filters, PUBLISHED, strict=True):
            W = machine(folders[name]).W.T[: ROWS * COLUMNS]
            scaled = W / np.abs(W).max(axis=1, keepdims=True)
            mosaic(axes, scaled.reshape(-1, ROWS, W.shape[1]), f"{name}: filters")
        return figure


def machine(folder: Path) -> Machine:
    """That of a run's first seed; v is 0 where it is not learned."""
    tensors = RunFolder.at(folder).weights()["tensors"]
    W, U, c = (tensors[name][0].numpy() for name in ("W0", "W1", "b0"))
    v = tensors["v0"][0, 0].numpy() if "v0" in tensors else np.zeros(len(W), np.float32)
    return Machine(W, U, v, c[0])


def test_images(folder: Path) -> Array:
    """The first ROWS test images of every class [C, ROWS, I], in [0, 1]."""
    config = RunFolder.at(folder).config
    assert isinstance(config.dataset, ImageDataset)
    data = config.dataset.load(config.general.data_dir)
    x = data.test_images.flatten(1).numpy() / data.max_pixel
    classes = range(data.n_classes)
    return np.stack([x[data.test_labels.numpy() == label][:ROWS] for label in classes])


def mosaic(axes: Axes, images: Array, title: str) -> None:
    """Square images [columns, rows, pixels], a title under them."""
    side = round(images.shape[2] ** 0.5)
    style.picture(axes, list(images.reshape(len(images), -1, side)), title)
