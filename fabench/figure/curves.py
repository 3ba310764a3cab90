"""Curves: the mean over seeds and its 95 % interval, against epoch or a setting."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fabench.figure import style
from fabench.run.statistics import summarize


def band(
    axes: Axes,
    metrics: pd.DataFrame,
    column: str,
    color: str,
    label: str,
    dash: str = "-",
    x: str = "epoch",
    log: bool = False,
    width: float = style.LINE,
) -> None:
    """Draw ``column`` against ``x``: the mean over seeds and the 95 % interval of that mean;
    ``log``: the geometric mean of what is positive, and the interval of its logarithm."""
    values = metrics.dropna(subset=column)
    places = sorted(values[x].unique().tolist())
    measured = values[column].map(np.log) if log else values[column]
    points = [summarize(measured[values[x] == place].tolist()) for place in places]
    lines = np.array([(p.mean, p.low, p.high) for p in points]).reshape(-1, 3).T
    mean, low, high = np.exp(lines) if log else lines
    axes.plot(places, mean, dash, color=color, label=label, linewidth=width)
    axes.fill_between(places, low, high, color=color, alpha=0.2, linewidth=0)


def strands(
    axes: Axes, metrics: pd.DataFrame, column: str, color: str, label: str, dash: str = "-"
) -> None:
    """Draw ``column`` against epoch: the mean over seeds, and thin lines of every seed, where few
    seeds differ so much that an interval would hide all else."""
    each = metrics.pivot(index="epoch", columns="seed", values=column)
    axes.plot(each, dash, color=color, linewidth=0.5, alpha=0.5)
    axes.plot(each.mean(axis=1), dash, color=color, label=label)


def means(
    axes: Axes, rows: pd.DataFrame, x: str, y: str, color: str, label: str, dash: str = "-"
) -> None:
    """Draw ``y`` against ``x``: the mean over each x's rows, with an error bar, its interval."""
    values = sorted(rows[x].unique().tolist())
    points = [summarize(rows[y][rows[x] == value].tolist()) for value in values]
    axes.errorbar(
        values, [p.mean for p in points], yerr=[p.half_width for p in points], fmt=dash, marker="o",
        markersize=2.5, capsize=2, linewidth=1, color=color, label=label,
    )  # fmt: skip


def epoch_axis(axes: Axes, last: int) -> None:
    """The horizontal axis: whole epochs from 0."""
    axes.set_xlabel("epoch")
    axes.set_xlim(0, max(1, last))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def parity_axes(axes: Axes, k: int, last: int) -> None:
    """Test accuracy against epoch on the parity of k digits: near 1 of one, else with chance."""
    if k == 1:
        axes.set_ylim(0.85, 1)
    else:
        style.chance_line(axes, 0.5)
    epoch_axis(axes, last)
    axes.set_ylabel("test accuracy")


def degrees(low: float, high: float) -> list[tuple[float, float]]:
    """Round angles, in degrees, and their cosines, of those from ``low`` to ``high``."""
    ends = np.degrees(np.arccos(np.clip([high, low], -1, 1)))
    angles = np.asarray(MaxNLocator(5, steps=[1, 1.5, 2, 3, 6, 10]).tick_values(*ends))
    cosines = np.cos(np.radians(angles))
    within = (low <= cosines) & (cosines <= high) & (angles >= 0) & (angles <= 180)
    return list(zip(angles[within].tolist(), cosines[within].tolist(), strict=True))


def angle_axis(axes: Axes) -> None:
    """A second axis, on the right: the angle, in degrees, of the cosine that the first one has."""
    right = axes.secondary_yaxis("right")
    ticks = degrees(*axes.get_ylim())
    right.set_yticks([cosine for _, cosine in ticks], [f"{angle:g}°" for angle, _ in ticks])
    right.set_ylabel("angle")
