"""All points that the searches for PBLF's numbers have tried, in a plane, coloured by accuracy.

Eyono 2020, figure 6.3 (see ``fabench.figure.pblf``): four numbers and four bits, on their first two
principal components, the same in all panels. Its claim: many points are about as good, so that
the space has several local maxima. A panel's title counts those within two points of the best, and
the modes that these have. The star is backpropagation, with its test accuracy.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from fabench.figure import pblf, style

EXPERIMENTS = (*pblf.experiments("fig_6_1"), *pblf.experiments("fig_6_2"))
INTERVAL = ""
ON_REQUEST = True  # its numbers come from a search

BP = pd.DataFrame({"w1": [0.0], "b1": [0.0], "w2": [0.0], "b2": [1.0], "mode": [15]})

NEAR = 0.02

Array = NDArray[np.float64]


def draw(frame: pd.DataFrame) -> Figure:
    """A panel for each search: Gaussian process and random, few and many epochs."""
    searches = [name for name in EXPERIMENTS if not name.endswith(("_1", "_2"))]
    tables = {name: pblf.candidates(frame, name) for name in searches}
    every = np.vstack([pblf.coordinates(table) for table in tables.values()])
    plane = PCA(2).fit(every)  # the same in all panels
    ends = [(column.min() - 0.1, column.max() + 0.1) for column in plane.transform(every).T]
    with style.canvas(2, 2, height=2.4) as (figure, panels):
        for axes, (name, table) in zip(panels.flat, tables.items(), strict=True):
            figure_number, method = name[:7], name[8:]
            bp = frame[frame.experiment == figure_number]
            bp = bp[(bp.epochs == bp.epochs.min()) & (bp.epoch == bp.epochs)]
            fit = table[table.diverged == 0]
            crosses = plane.transform(pblf.coordinates(table[table.diverged > 0]))
            axes.plot(*crosses.T, "x", color="0.6", markersize=4)
            dots = _draw(axes, plane.transform(pblf.coordinates(fit)), fit.score_mean, "o")
            _draw(axes, plane.transform(pblf.coordinates(BP)), bp.test_accuracy.mean(), "*")
            axes.set_title(
                f"{pblf.METHODS[method]}, {bp.epochs.iloc[0]} epochs: {count(table)}", fontsize=7
            )
        for axes in panels.flat:
            axes.set(xlim=ends[0], ylim=ends[1])
        for axes in panels[:, 0]:
            axes.set_ylabel("PC2")
        for axes in panels[-1]:
            axes.set_xlabel("PC1 (star: backpropagation, crosses: diverged)")
        figure.colorbar(
            dots, ax=panels, label="validation accuracy (star: test accuracy)", aspect=40
        )
        return figure


def count(table: pd.DataFrame) -> str:
    """How many points are near the best, and how many modes they have."""
    fit = table[table.diverged == 0]
    near = fit[fit.score_mean >= fit.score_mean.max() - NEAR]
    return f"{len(near)} of {len(table)} near the best, {near['mode'].nunique()} modes"


def _draw(axes: Axes, points: Array, accuracy: Any, marker: str) -> PathCollection:
    """Points [n, 2], coloured by accuracy [n], or one for all."""
    x, y = points.T
    return axes.scatter(
        x, y, c=np.broadcast_to(accuracy, len(points)), s=60 if marker == "*" else 14,
        marker=marker, vmin=0, vmax=1, cmap="viridis", linewidths=0.5, edgecolors="black",
    )  # fmt: skip
