"""The look that all figures share: column width, colour-blind-safe colours, one per rule."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from fabench.run.store import whole_file

WIDTH, PAGE = 3.5, 7.0
"""Inches of a journal column, and of its page, which no figure is wider than."""

DPI = 200

LINE = 1.2
"""Width of a curve in points."""

# Okabe and Ito's palette
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip

COLORS = {
    "bp": BLUE,
    "dfa": RED,
    "fa": GREEN,
    "ifa": PURPLE,
    "ntk": ORANGE,
    "relu_features": SKY,
    "gaussian_features": BLACK,
    "linear_features": "#999999",
    "fourier_features": YELLOW,
    "shallow": "#666666",
    "pblf": "#1B3F8B",
    "formula": "#6A5ACD",
    # The feedback alignment family: Tol's muted palette, and browns for sign symmetry
    "kolen_pollack": "#117733",
    "weight_mirror": "#44AA99",
    "product_feedback": "#332288",
    "drtp": "#882255",
    "dkp": "#AA4499",
    "usf": "#5D3A1A",
    "frsf": "#A0693B",
    "brsf": "#C8A27C",
    # Search: yellows and browns
    "local_search": "#DDCC77",
    "genetic_algorithm": "#8C6D1F",
    "evolution_strategy": "#F2B134",
    "weight_search": "#B8A04A",
    "forward_gradient": "#3E8E7E",
    # Targets: olives
    "difference_target_propagation": "#999933",
    "target_propagation": "#5C5C1F",
    "simplified_difference_target_propagation": "#C6C665",
    "direct_difference_target_propagation": "#7A8F1C",
    "local_representation_alignment": "#B58900",
    "synthetic_gradients": "#4B0082",
    "contrastive_hebbian": "#661100",
    # Forward passes only
    "fdfa": "#CC6677",
    "pepita": "#88CCEE",
    "forward_forward": "#2E8BC0",
    "predictive_coding": "#0F4C5C",
    # Settling and sampling
    "equilibrium_propagation": "#A3123A",
    "generec": "#E07A5F",
    "contrastive_divergence": "#6699CC",
    "recirculation": "#E7298A",
}


def color(rule: str) -> str:
    """A learning rule's colour, the same in every figure; grey if it has none of its own."""
    return COLORS.get(rule, "#666666")


RC: Any = {
    "axes.prop_cycle": cycler(color=[BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK]),
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": LINE,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
    "ps.fonttype": 42,
}


@contextmanager
def look() -> Iterator[None]:
    """Matplotlib's own defaults with ours, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


@contextmanager
def canvas(
    rows: int = 1, columns: int = 1, height: float = 2.4, grid: bool = True
) -> Iterator[tuple[Figure, Any]]:
    """A figure of ``columns`` column widths, at most a page's, and its axes [rows, columns].

    Without ``grid`` it has no axes yet.
    """
    with look():
        figure = Figure(figsize=(min(WIDTH * columns, PAGE), height * rows))
        yield figure, figure.subplots(rows, columns, squeeze=False) if grid else None


def save(figure: Figure, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a figure whole, as the path's suffix says, its pixels as fine as in all figures."""
    with look(), whole_file(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=DPI, metadata=metadata)


def shows_data(figure: Figure) -> bool:
    """Whether there is more than lines for the eye, such as that of chance, in any panel."""
    return any(np.isfinite(axes.dataLim.bounds).all() for axes in figure.axes)


def footnote(figure: Figure, text: str) -> None:
    """A line under the whole figure."""
    figure.supxlabel(text, fontsize=7, color="0.4")


def picture(axes: Axes, images: Sequence[Any], title: str) -> None:
    """Images [H, W] side by side, dark on light, a title under them."""
    axes.imshow(np.hstack(images), cmap="gray_r")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(title, fontsize=7)


def log_axis(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic x for ``values``: plain numbers, 1, 2, 5 of each decade if decades are few."""
    axes.set_xscale("log")
    decades = np.log10(max(values) / min(values))
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if decades > 2 else (1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def chance_line(axes: Axes, chance: float) -> None:
    """The accuracy, or error, of a guess, dashed, named beside the axes."""
    axes.axhline(chance, color="0.5", linewidth=0.8, linestyle="--", zorder=0)
    axes.annotate(
        "chance", (1, chance), xycoords=("axes fraction", "data"), ha="left", va="bottom",
        fontsize=7, color="0.4", xytext=(2, 0), textcoords="offset points", rotation=90,
    )  # fmt: skip
