"""PBLF's numbers, as found by two searches for few and for many epochs, and its accuracy.

Eyono 2020, table 6.2 and, after more epochs, figure 6.4 (see ``fabench.figure.pblf``). Its claims:
backpropagation is best by a slight margin, and a Gaussian process finds no better numbers than
random search. Differences are paired over trials: the same data, the same initial weights.
"""

import pandas as pd

from fabench.figure import pblf
from fabench.run.statistics import summarize

EXPERIMENTS = (*pblf.experiments("fig_6_1"), *pblf.experiments("fig_6_2"))
ON_REQUEST = True  # its numbers come from a search


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each number of epochs and method; accuracies in %."""
    frame = frame.assign(accuracy=100 * frame.test_accuracy).set_index("seed")
    rows = []
    for epochs, trained in pblf.last_epochs(frame):
        methods = pblf.by_method(trained)
        for method, runs in methods.items():
            numbers = runs.iloc[0]
            bp, random = (methods[other].accuracy for other in ("bp", "random"))
            to_bp = [] if method == "bp" else (runs.accuracy - bp).tolist()
            to_random = (runs.accuracy - random).tolist() if method == "gaussian_process" else []
            rows.append(
                {
                    "epochs": epochs,
                    "method": pblf.METHODS[method],
                    **{name: numbers.get(name) for name in pblf.NUMBERS},
                    "mode": None if method == "bp" else pblf.mode(numbers["mode"]),
                    "trials": len(runs),
                    **summarize(runs.accuracy.tolist()).columns("test_accuracy"),
                    **summarize(to_bp).columns("difference_to_bp", sd=False),
                    **summarize(to_random).columns("difference_to_random", sd=False),
                }
            )
    return pd.DataFrame(rows)
