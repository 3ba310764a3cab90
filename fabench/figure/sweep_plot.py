"""The plot of a sweep: accuracy (or error) against the swept value, or a heat map of two."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.heat_map import heat_map

MOST_LINES = 10

SCORES = {"test_accuracy": "test accuracy", "test_nse": "test normalized squared error"}
"""What a sweep's table may tell of its runs, the first first, and how axes name it."""


def scored(frame: pd.DataFrame) -> str | None:
    """Which of ``SCORES`` the table has."""
    return next((name for name in SCORES if f"{name}_mean" in frame), None)


def sweep_plot(frame: pd.DataFrame, keys: Sequence[str]) -> Figure | None:
    """Test accuracy (or error) of a sweep's table: one swept key a curve (or bars), two a heat map,
    more the numeric key with most values along the axis and one curve for every choice of the
    others.

    None where nothing can be drawn: no key, no result, or too many curves.
    """
    name = scored(frame)
    if name is None or not keys:
        return None
    frame = frame.dropna(subset=f"{name}_mean")
    if frame.empty:
        return None
    if len(keys) == 2:
        return _heat_map(frame, name, *keys)
    numeric = [key for key in keys if _numbers(frame[key]) is not None]
    if not numeric:
        return _bars(frame, name, keys)
    along = max(numeric, key=lambda key: frame[key].nunique())
    return _curves(frame, name, along, [key for key in keys if key != along])


def _numbers(values: pd.Series) -> pd.Series | None:
    numbers = pd.to_numeric(values.astype(str), errors="coerce")
    return None if numbers.isna().any() else numbers


def _curves(frame: pd.DataFrame, name: str, along: str, others: list[str]) -> Figure | None:
    labels = (
        frame[others].astype(str).agg(", ".join, axis=1) if others else pd.Series("", frame.index)
    )
    if labels.nunique() > MOST_LINES:
        return None
    with style.canvas() as (figure, [[axes]]):
        x = _numbers(frame[along])
        assert x is not None
        for label in sorted(labels.unique()):
            rows = frame[labels == label].assign(x=x).sort_values("x")
            mean, half = _interval(rows, name)
            axes.errorbar(
                rows.x, mean, yerr=half, marker="o", markersize=3, capsize=2, label=label or None,
            )  # fmt: skip
        if (x > 0).all() and x.max() / x.min() > 9:
            style.log_axis(axes, x.tolist())
        axes.set_xlabel(along)
        axes.set_ylabel(_label(name))
        if others:
            axes.legend(title=", ".join(others), title_fontsize=7)
        return figure


def _bars(frame: pd.DataFrame, name: str, keys: Sequence[str]) -> Figure:
    labels = frame[list(keys)].astype(str).agg(", ".join, axis=1)
    with style.canvas(height=max(2.0, 0.25 * len(frame) + 0.8)) as (figure, [[axes]]):
        mean, half = _interval(frame, name)
        axes.barh(labels, mean, xerr=half, color=style.BLUE, capsize=2)
        axes.invert_yaxis()
        axes.set_ylabel(", ".join(keys))
        axes.set_xlim(left=max(0.0, float((mean - half).min()) - 0.05))
        axes.set_xlabel(_label(name))
        return figure


def _heat_map(frame: pd.DataFrame, name: str, first: str, second: str) -> Figure:
    def ordered(key: str) -> list[str]:
        numbers = _numbers(frame[key])
        order = frame[key].astype(str) if numbers is None else numbers
        return frame.assign(order=order).sort_values("order")[key].drop_duplicates().tolist()

    rows, columns = ordered(first), ordered(second)
    grid = frame.pivot_table(index=first, columns=second, values=f"{name}_mean")
    grid = grid.reindex(index=rows, columns=columns)
    with style.canvas(height=max(2.0, 0.3 * len(rows) + 1.0)) as (figure, [[axes]]):
        image = heat_map(
            axes, grid, lambda x: f"{x:.2g}" if name == "test_nse" else f"{100 * x:.1f}"
        )
        figure.colorbar(image, label=SCORES[name])
        return figure


def _interval(frame: pd.DataFrame, name: str) -> tuple[pd.Series, pd.Series]:
    """Mean and half the 95 % interval, 0 where there is none."""
    mean = frame[f"{name}_mean"]
    return mean, (frame[f"{name}_ci95_high"] - mean).fillna(0)


def _label(name: str) -> str:
    return f"{SCORES[name]}, last epoch\n(mean and 95 % interval)"
