"""The last epoch's test accuracy over seeds, mean and 95 % interval: bars, paired differences."""

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
    """One bar per (name, metrics, color), from the chance of two classes, every seed as a dot."""
    for position, (_, metrics, color) in enumerate(bars):
        last = metrics[metrics.epoch == metrics.epoch.max()].test_accuracy.tolist()
        s = summarize(last)
        x = position + offset
        axes.bar(x, s.mean, width, color=color, alpha=0.8, label=None if position else label)
        axes.errorbar(x, s.mean, yerr=s.half_width, color="black", capsize=2, linewidth=0.8)
        axes.plot([x] * len(last), last, ".", color="black", markersize=2)
    axes.set_xticks(range(len(bars)), [name for name, _, _ in bars])
    axes.set_ylabel("test accuracy (0.5: chance)")
    axes.set_ylim(0.5, None)


def differences(
    axes: Axes, pairs: Sequence[tuple[str, pd.DataFrame, pd.DataFrame]], color: str
) -> None:
    """For each (name, metrics, metrics) the first's last accuracies less the second's, in points,
    paired over seeds: each as a dot, their mean with its interval."""
    for position, (_, *both) in enumerate(pairs):
        one, other = (m[m.epoch == m.epoch.max()].set_index("seed").test_accuracy for m in both)
        gaps = (100 * (one - other)).dropna().tolist()
        s = summarize(gaps)
        axes.errorbar(position, s.mean, yerr=s.half_width, fmt="o", color=color, capsize=2,
                      markersize=4)  # fmt: skip
        axes.plot([position] * len(gaps), gaps, ".", color="black", markersize=2)
    axes.axhline(0, color="0.5", linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xticks(range(len(pairs)), [name for name, *_ in pairs])
