"""Bars of the last epoch's test accuracy: mean and 95 % interval over seeds."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from fabench.run.statistics import summarize


def final_bars(
    axes: Axes,
    bars: Sequence[tuple[str, pd.DataFrame, str]],
    offset: float = 0.0,
    width: float = 0.7,
    label: str | None = None,
) -> None:
    """One bar per (name, metrics, color), with every seed as a dot; the axis begins at 0.45."""
    for position, (_, metrics, color) in enumerate(bars):
        last = metrics[metrics.epoch == metrics.epoch.max()].test_accuracy.tolist()
        s = summarize(last)
        x = position + offset
        axes.bar(x, s.mean, width, color=color, alpha=0.8, label=None if position else label)
        axes.errorbar(x, s.mean, yerr=s.half_width, color="black", capsize=2, linewidth=0.8)
        axes.plot([x] * len(last), last, ".", color="black", markersize=2)
    axes.set_xticks(range(len(bars)), [name for name, _, _ in bars])
    axes.set_ylabel("test accuracy, last epoch")
    axes.set_ylim(0.45, None)
