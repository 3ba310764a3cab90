"""The plots of one run: accuracy (of regression: error) and alignment against epoch, and the graph
of a formula.

Mean and 95 % band over seeds.
"""

import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.curves import angle_axis, band, epoch_axis
from fabench.figure.formula_graph import formula_graph
from fabench.learning_rule.formula import Formula
from fabench.run.config import Config

MOST_LINES = 8

LINE_LENGTH = 58
"""Characters of a title that fit a column."""


def accuracy(metrics: pd.DataFrame, config: Config) -> Figure:
    """Train and test accuracy against epoch."""
    color = style.color(config.learning_rule.name)
    with style.canvas() as (figure, [[axes]]):
        band(axes, metrics, "test_accuracy", color, "test")
        band(axes, metrics, "train_accuracy", color, "train", ":")
        style.chance_line(axes, config.task.chance)
        _finish(axes, metrics, config, "accuracy")
        return figure


def nse(metrics: pd.DataFrame, config: Config) -> Figure:
    """Train and test normalized squared error against epoch, logarithmic."""
    color = style.color(config.learning_rule.name)
    with style.canvas() as (figure, [[axes]]):
        band(axes, metrics, "test_nse", color, "test")
        band(axes, metrics, "train_nse", color, "train", ":")
        style.chance_line(axes, config.task.chance)
        axes.set_yscale("log")
        _finish(axes, metrics, config, "normalized squared error")
        return figure


def alignment(metrics: pd.DataFrame, config: Config) -> Figure:
    """Weight and gradient alignment against epoch; of single layers where they are few."""
    with style.canvas() as (figure, [[axes]]):
        weights = [c for c in map(str, metrics.columns) if c.startswith("weight_alignment")]
        weights = weights if len(weights) <= MOST_LINES else weights[:1]
        shades = [style.RED, style.PURPLE, style.ORANGE, style.YELLOW, style.BLACK]
        for i, column in enumerate(weights):
            layer = column.removeprefix("weight_alignment").lstrip("_")
            label = "weights" + (f", layer {layer}" if layer else "")
            dash = "-" if i == 0 else "-." if i < len(shades) else ":"
            band(axes, metrics, column, shades[i % len(shades)], label, dash)
        band(axes, metrics, "gradient_alignment", style.BLUE, "teaching signals", "--")
        axes.axhline(0, color="0.5", linewidth=0.6, zorder=0)
        _finish(axes, metrics, config, "cosine with backpropagation")
        angle_axis(axes)
        return figure


def write_plots(folder: Path, metrics: pd.DataFrame, config: Config) -> list[Path]:
    """Write the run's plots into ``folder``/plots, and return their paths."""
    draw = nse if config.task.score == "nse" else accuracy
    figures = {draw.__name__: draw(metrics, config)}
    if "weight_alignment" in metrics:
        figures["alignment"] = alignment(metrics, config)
    if isinstance(config.learning_rule, Formula):
        figures["formula"] = formula_graph(config.learning_rule.formula)
    (folder / "plots").mkdir(exist_ok=True)
    paths = []
    for name, figure in figures.items():
        path = folder / "plots" / f"{name}.png"
        style.save(figure, path)
        paths.append(path)
    return paths


def _finish(axes: Axes, metrics: pd.DataFrame, config: Config, ylabel: str) -> None:
    n = metrics.seed.nunique()
    spread = f"mean and 95 % interval, {n} seeds" if n > 1 else f"seed {metrics.seed.iloc[0]}"
    lost = metrics[metrics.diverged == 1].seed.nunique()
    spread += f", {lost} of them diverged" if n > 1 and lost else ""
    rate = f", lr={config.optimizer.lr:g}" if config.optimizer else ""
    lines = textwrap.wrap(f"{config.method}{rate}, {config.problem}", LINE_LENGTH)
    axes.set_title("\n".join([*lines, spread]), fontsize=7)
    epoch_axis(axes, int(metrics.epoch.max()))
    axes.set_ylabel(ylabel)
    axes.legend(loc="best")
