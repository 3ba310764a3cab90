"""Results in the terminal: numbers as text, and the table of a run. Light: no torch, no pandas."""

import math
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

console = Console(highlight=False, markup=False, emoji=False)  # [b] in a path is that


def percent(value: float | None) -> str:
    """0.684 as 68.40; nothing as a dash."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def significant(value: float | None) -> str:
    """Three significant digits; nothing as a dash."""
    return "-" if value is None or math.isnan(value) else f"{value:.3g}"


def decimals(value: float | None) -> str:
    """Four decimals; nothing as a dash."""
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"


METRICS = {
    "train_accuracy": ("train accuracy %", percent),
    "test_accuracy": ("test accuracy %", percent),
    "train_nse": ("train NSE", significant),
    "test_nse": ("test NSE", significant),
    "test_loss": ("test loss", decimals),
    "weight_alignment": ("weight alignment", decimals),
    "gradient_alignment": ("gradient alignment", decimals),
}
"""The metrics that a run's table has, where the run has them: their titles, their text."""


def print_results(summary: dict[str, Any]) -> None:
    """Of a run's summary: one row per seed, and the mean with its 95 % interval."""
    final = summary["final"]
    columns = [(name, *shown) for name, shown in METRICS.items() if name in final]
    table = Table("seed", *(title for _, title, _ in columns), "best epoch")
    for seed in map(str, summary["seeds"]):
        cells = [show(final[name]["per_seed"][seed]) for name, _, show in columns]
        best = summary["best_epoch"]["per_seed"].get(seed, {}).get("epoch", "-")
        if seed in summary["diverged"]:
            best = f"diverged in epoch {summary['diverged'][seed]}"
        elif seed in summary.get("stopped", {}):
            best = "{network_of}, stopped after {after}".format(**summary["stopped"][seed])
        table.add_row(seed, *cells, str(best))
    table.add_section()
    cells = [interval(final[name], show) for name, _, show in columns]
    best = summary["best_epoch"]["epoch"]
    table.add_row("mean", *cells, "-" if best is None else str(best))
    console.print(table)
    if len(summary["seeds"]) > 1:
        console.print(f"Mean over seeds ± 95 % interval (Student t), epoch {summary['epochs']}.")


def interval(statistics: dict[str, Any], text: Callable[[float | None], str]) -> str:
    """Of a metric's statistics: the mean ± half of its 95 % interval, where there is one."""
    mean, low = statistics["mean"], statistics["ci95"][0]
    if mean is None or low is None or math.isnan(low):
        return text(mean)
    return f"{text(mean)} ± {text(mean - low)}"
