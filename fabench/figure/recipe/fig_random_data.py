"""Test error on cluster data against inputs d and examples n: BP, DFA, output layer only."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from fabench.figure import style
from fabench.figure.curves import means

EXPERIMENTS = ("fig_random_data_d", "fig_random_data_n")

RULES = {"bp": "BP", "dfa": "DFA", "relu_features": "output layer only"}
OPTIMIZERS = {"sgd": ("SGD", "-"), "rmsprop": ("RMSprop", "--")}


def draw(frame: pd.DataFrame) -> Figure:
    """Mean test error at the last epoch, with its 95 % interval over labelings."""
    last = frame[frame.epoch == frame.epoch.max()]
    with style.canvas(columns=2) as (figure, [panels]):
        for axes, (swept, held) in zip(panels, [("d", "n_train"), ("n_train", "d")], strict=True):
            middle = _most_common(last[held])
            axes.set_xscale("log" if swept == "n_train" else "linear")
            _errors(axes, last[last[held] == middle], swept)
            axes.set_title(f"{'n' if held == 'n_train' else 'd'}={middle}")
        panels[0].set_xlabel("inputs d")
        panels[1].set_xlabel("training examples n")
        panels[0].legend(loc="upper left", ncols=2)
        for axes in panels:
            axes.set_ylim(0, 0.6)
        return figure


def _most_common(values: pd.Series) -> int:
    return int(values.mode().iloc[0])


def _errors(axes: Axes, rows: pd.DataFrame, swept: str) -> None:
    for rule, name in RULES.items():
        for optimizer, (label, dash) in OPTIMIZERS.items():
            of = rows[(rows.learning_rule == rule) & (rows.optimizer == optimizer)]
            errors = of.assign(test_error=1 - of.test_accuracy)
            means(axes, errors, swept, "test_error", style.color(rule), f"{name}, {label}", dash)
    axes.set_xticks(sorted(rows[swept].unique()))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("test error")
