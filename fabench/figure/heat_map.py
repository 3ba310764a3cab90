"""Heat maps: a number for every pair of two settings."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage


def heat_map(
    axes: Axes,
    table: pd.DataFrame,
    text: Callable[[float], str],
    limits: tuple[float, float] | None = None,
) -> AxesImage:
    """Draw ``table`` as it stands, the ``text`` of every value over it; NaN stays white.

    Colours reach over the ``limits`` (None: from the smallest value to the largest).
    """
    values = table.to_numpy()
    low, high = limits or (np.nanmin(values), np.nanmax(values))
    image = axes.imshow(values, aspect="auto", cmap="cividis", vmin=low, vmax=high)
    axes.set_xticks(range(table.shape[1]), [_short(label) for label in table.columns])
    axes.set_yticks(range(table.shape[0]), [_short(label) for label in table.index])
    axes.set_xlabel(str(table.columns.name))
    axes.set_ylabel(str(table.index.name))
    for i, j in np.argwhere(np.isfinite(values)):
        color = "black" if values[i, j] > (low + high) / 2 else "white"
        axes.text(j, i, text(values[i, j]), ha="center", va="center", color=color)
    return image


def _short(label: object) -> str:
    """0.0010 as 0.001, 1000000.0 as 1e+06, words as they are."""
    number = pd.to_numeric(str(label), errors="coerce")
    return str(label) if pd.isna(number) else f"{number:g}"
