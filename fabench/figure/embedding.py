"""Pictures of representations: t-SNE in the plane, and what the nearest neighbours know.

Axes: N examples, U units.
"""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from numpy.typing import NDArray

NEIGHBOURS, FOLDS = 10, 5

PROBES = (f"{NEIGHBOURS}-NN", "linear")
"""The vote of the nearest neighbours, and ridge regression on the classes."""

Array = NDArray[np.float32]


def embed(h: Array) -> Array:
    """t-SNE of h [N, U]: points [N, 2]. L. van der Maaten, G. Hinton, JMLR 9, 2008."""
    from sklearn.manifold import TSNE

    points: Array = TSNE(random_state=0, init="pca", n_jobs=2).fit_transform(h)
    return points


def scatter(axes: Axes, points: Array, colors: NDArray[Any], cmap: str) -> PathCollection:
    """Draw points [N, 2] by their classes [N], 0, 1, ..., without axes: the plane has no units."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    n = int(colors.max()) + 1
    return axes.scatter(
        points[:, 0], points[:, 1], c=colors, cmap=colormaps[cmap].resampled(n), vmin=-0.5,
        vmax=n - 0.5, s=1, linewidths=0,
    )  # fmt: skip


def probed(probe: str, h: Array, labels: NDArray[Any]) -> float:
    """Accuracy of one of PROBES on the labels [N], from h [N, U], on folds that it has not seen."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    model = RidgeClassifier() if probe == "linear" else KNeighborsClassifier(NEIGHBOURS)
    return float(cross_val_score(model, h, labels, cv=FOLDS).mean())
