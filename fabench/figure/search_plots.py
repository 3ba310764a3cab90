"""Pictures of searches: score against a setting; how a search goes on, and where it has been.

A frame has a row for every point: its values, in the columns before ``split``, and columns
score_mean, score_sd, diverged (how many seeds) and, where there is such a point, one of DISTANCES.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fabench.figure import style
from fabench.run.config import Config

Array = NDArray[np.float64]

DISTANCES = {
    "distance_to_bp": "distance to BP",
    "angle_to_bp": "angle to BP / °",
}
"""In a space's coordinates, or of the first updates."""


def curve(frame: pd.DataFrame, config: Config, n_last: int) -> Figure:
    """Score against the one setting: mean and standard deviation over seeds."""
    fit, key = frame[frame.diverged == 0], str(frame.columns[0])
    with style.canvas() as (figure, [[axes]]):
        axes.errorbar(
            fit[key], fit.score_mean, yerr=fit.score_sd.fillna(0), marker="o", markersize=3,
            capsize=2, color=style.color(config.learning_rule.name),
        )  # fmt: skip
        for value in frame[key][frame.diverged > 0]:
            axes.axvline(value, color="0.7", linestyle=":", linewidth=0.8)
        style.chance_line(axes, _chance(config))
        if frame[key].min() > 0:
            style.log_axis(axes, frame[key].tolist())
        axes.set_xlabel(key + (" (dotted: diverged)" if len(fit) < len(frame) else ""))
        axes.set_ylabel(f"{_label(frame, config)}\n(mean ± sd over seeds)")
        axes.set_title(
            f"{config.method}, {config.problem}:\nlast {n_last} of {config.trainer.epochs} epochs",
            fontsize=7,
        )
        return figure


def overview(frame: pd.DataFrame, config: Config, X: Array | None) -> Figure:
    """The best against evaluations; of coordinates X [points, d], two components; score against the
    distance to backpropagation."""
    has_plane = X is not None and min(X.shape) > 1
    distances = [name for name in DISTANCES if name in frame]
    panels = 1 + has_plane + len(distances)
    with style.canvas(1, panels) as (figure, [[first, *others]]):
        best_so_far(first, frame)
        style.chance_line(first, _chance(config))
        first.set_ylabel(_label(frame, config))
        figure.suptitle(f"{config.method}, {config.problem}", fontsize=8)
        if has_plane:
            assert X is not None
            components(others[0], frame, plane(X), _label(frame, config))
        for name in distances:
            fit = frame[frame.diverged == 0]
            others[-1].plot(fit[name], fit.score_mean, "o", markersize=3)
            others[-1].set_xlabel(DISTANCES[name])
            others[-1].set_ylabel(_label(frame, config))
        return figure


def best_so_far(axes: Axes, frame: pd.DataFrame) -> None:
    """Every point's score by its number, from 1, and the best so far; none of diverged ones."""
    scores = frame.score_mean.where(frame.diverged == 0)
    numbers = np.arange(1, len(frame) + 1)
    axes.plot(numbers, scores, "o", markersize=2.5, color=style.SKY, label="a point")
    axes.step(
        numbers, scores.cummax().ffill(), where="post", color=style.BLUE, label="the best so far"
    )
    axes.set_xlabel("evaluations")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center right")


def components(axes: Axes, frame: pd.DataFrame, points: Array, label: str) -> None:
    """Points [n, 2] in a plane, coloured by score, crosses where they diverged."""
    fit = frame.diverged.to_numpy() == 0
    x, y = points.T
    axes.plot(x[~fit], y[~fit], "x", color="0.6", markersize=3)
    dots = axes.scatter(x[fit], y[fit], c=frame.score_mean[fit], s=14, cmap="viridis", linewidths=0)
    assert axes.figure is not None
    axes.figure.colorbar(dots, ax=axes, label=label)
    axes.set_xlabel("PC1" + (" (crosses: diverged)" if (~fit).any() else ""))
    axes.set_ylabel("PC2")


def plane(X: Array) -> Array:
    """X [n, d] on its first two principal components: [n, 2]."""
    from sklearn.decomposition import PCA  # here, for it costs a second

    points: Array = PCA(2).fit_transform(X)
    return points


def _chance(config: Config) -> float:
    return config.task.chance * (-1 if config.task.score == "nse" else 1)


def _label(frame: pd.DataFrame, config: Config) -> str:
    return f"{frame.split.iloc[0]} " + ("-NSE" if config.task.score == "nse" else "accuracy")
