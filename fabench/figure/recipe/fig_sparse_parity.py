"""How many networks solve k-sparse parity, and their accuracy, against the number of bits n.

A network has solved it that is right on SOLVED of the test vectors after the last epoch. Learning
rates were chosen at n=40, those of the features and of NTK among scores of chance: what these could
do at n=10 is not told. NTK's gates are the thesis's, soft and without biases.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.data import endings
from fabench.run.statistics import wilson

EXPERIMENTS = ("fig_sparse_parity",)
INTERVAL = "Wilson 95 % interval of the fraction of seeds"

RULES = {"bp": "BP", "dfa": "DFA", "ntk": "NTK", "relu_features": "ReLU features"}
SOLVED = 0.99


def data(frame: pd.DataFrame) -> pd.DataFrame:
    """What each network ends with."""
    return endings(frame, "learning_rule", "n", "k", "lr")


def draw(networks: pd.DataFrame) -> Figure:
    """Left the fraction solved, with its interval; right every network, rules side by side."""
    places = sorted(networks.n.unique())
    with style.canvas(columns=2) as (figure, [panels]):
        fractions, accuracies = panels
        shifts = np.linspace(-0.24, 0.24, len(RULES))
        for shift, (rule, name) in zip(shifts, RULES.items(), strict=True):
            color, at = style.color(rule), np.arange(len(places)) + shift
            own = networks[networks.learning_rule == rule]
            values = [own.test_accuracy[own.n == n] for n in places]
            counts = [(int((v >= SOLVED).sum()), len(v)) for v in values]
            solved = np.array([count / n for count, n in counts])
            reach = np.abs(np.transpose([wilson(*count) for count in counts]) - solved)
            fractions.errorbar(
                at, solved, yerr=reach, fmt="o", markersize=3, capsize=2, color=color, label=name
            )
            for place, v in zip(at, values, strict=True):
                accuracies.plot([place] * len(v), v, "_", color=color, markersize=6)
        style.chance_line(accuracies, 0.5)
        fractions.set_ylabel(
            f"fraction of networks that are\nright on {SOLVED:.0%} of test vectors"
        )
        accuracies.set_ylabel("test accuracy, last epoch")
        for axes in panels:
            axes.set_xticks(range(len(places)), [f"{n}" for n in places])
            axes.set_xlabel(f"bits n, of which k={networks.k.iloc[0]} count")
        figure.legend(loc="outside upper center", ncols=len(RULES))
        return figure
