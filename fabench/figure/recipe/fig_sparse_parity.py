"""Test accuracy on k-sparse parity against the number of bits n."""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.curves import means

EXPERIMENTS = ("fig_sparse_parity",)

RULES = {"bp": "BP", "dfa": "DFA", "ntk": "NTK", "relu_features": "ReLU features"}


def draw(frame: pd.DataFrame) -> Figure:
    """Mean test accuracy at the last epoch, with its 95 % interval over seeds."""
    last = frame[frame.epoch == frame.epoch.max()]
    with style.canvas() as (figure, [[axes]]):
        for rule, name in RULES.items():
            rows = last[last.learning_rule == rule]
            means(axes, rows, "n", "test_accuracy", style.color(rule), name)
        style.chance_line(axes, 0.5)
        axes.set_xticks(sorted(last.n.unique()))
        axes.set_xlabel(f"bits n, of which k={last.k.iloc[0]} count")
        axes.set_ylabel("test accuracy, last epoch")
        axes.set_ylim(0.45, 1.02)
        axes.legend(loc="center right")
        return figure
