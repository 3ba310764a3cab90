"""Test accuracy of every trial of PBLF and backpropagation, for few and for many epochs.

Eyono 2020, table B.1 (see ``fabench.figure.pblf``), and the trials of figure 6.4. Its averages are
mean ± variance; here the interval of the mean.
"""

import pandas as pd

from fabench.figure import pblf
from fabench.run.statistics import summarize

EXPERIMENTS = (*pblf.experiments("fig_6_1"), *pblf.experiments("fig_6_2"))
ON_REQUEST = True  # its numbers come from a search


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each number of epochs and method, a column for each trial; accuracies in %."""
    rows = []
    for epochs, trained in pblf.last_epochs(frame):
        for method, runs in pblf.by_method(trained).items():
            accuracies = dict(zip(runs.seed, 100 * runs.test_accuracy, strict=True))
            rows.append(
                {
                    "epochs": epochs,
                    "method": pblf.METHODS[method],
                    **{f"seed_{seed}": accuracy for seed, accuracy in accuracies.items()},
                    **summarize(list(accuracies.values())).columns("test_accuracy", sd=False),
                }
            )
    return pd.DataFrame(rows)
