"""Test error on cluster data against inputs d and examples n: BP, DFA, output layer only.

Below, how much more the others have than BP with the same optimizer, paired over labelings. Chance
is the share of the rarer label, that of four clusters out of nine. Rates were chosen at d=15, n=256
by ten other labelings.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from fabench.figure import style
from fabench.figure.curves import means
from fabench.figure.data import endings

EXPERIMENTS = ("fig_random_data_d", "fig_random_data_n")

INTERVAL = "Student-t 95 % interval of the mean over labelings"

RULES = {"bp": "BP", "dfa": "DFA", "relu_features": "output layer only"}
OPTIMIZERS = {"sgd": ("SGD", "-"), "rmsprop": ("RMSprop", "--")}


def data(frame: pd.DataFrame) -> pd.DataFrame:
    """What each network ends with."""
    return endings(frame, "learning_rule", "optimizer", "d", "n_train")


def draw(last: pd.DataFrame) -> Figure:
    """Mean test error at the last epoch and its difference to BP's, intervals over labelings."""
    last = last.assign(test_error=1 - last.test_accuracy)
    keys = ["optimizer", "d", "n_train", "seed"]
    bp = last[last.learning_rule == "bp"].set_index(keys).test_error
    beside = last.join(bp.rename("of_bp"), on=keys)
    last = beside.assign(difference=beside.test_error - beside.of_bp)
    with style.canvas(rows=2, columns=2) as (figure, panels):
        for column, (swept, held) in enumerate([("d", "n_train"), ("n_train", "d")]):
            middle = _most_common(last[held])
            rows = last[last[held] == middle]
            errors, differences = panels[:, column]
            _curves(errors, rows, swept, "test_error")
            _curves(differences, rows[rows.learning_rule != "bp"], swept, "difference")
            errors.set_title(f"{'n' if held == 'n_train' else 'd'}={middle}")
            errors.set_ylim(0, 0.6)
            errors.set_ylabel("test error")
            style.chance_line(errors, 4 / 9)
            differences.axhline(0, color="0.5", linewidth=0.8, zorder=0)
            differences.set_ylabel("test error less BP's")
            differences.set_xlabel("inputs d" if swept == "d" else "training examples n")
        lines = panels[0, 0].get_legend_handles_labels()
        figure.legend(*lines, loc="outside upper center", ncols=3)
        return figure


def _most_common(values: pd.Series) -> int:
    return int(values.mode().iloc[0])


def _curves(axes: Axes, rows: pd.DataFrame, swept: str, column: str) -> None:
    axes.set_xscale("log" if swept == "n_train" else "linear")
    for rule in (rule for rule in RULES if rule in set(rows.learning_rule)):
        for optimizer, (label, dash) in OPTIMIZERS.items():
            of = rows[(rows.learning_rule == rule) & (rows.optimizer == optimizer)]
            means(axes, of, swept, column, style.color(rule), f"{RULES[rule]}, {label}", dash)
    axes.set_xticks(sorted(rows[swept].unique()))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
