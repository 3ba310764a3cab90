"""Test error on cluster data for every d, n, labels, learning rule and optimizer, as one table.

Beside labels that each seed draws, at tuned rates, those of the runs of D. Demirbilek's thesis: the
clusters 0, 5, 7 and 8 are zeros, and every rate is 0.5.
"""

import pandas as pd

from fabench.figure.data import endings
from fabench.run.statistics import summarize

EXPERIMENTS = ("fig_random_data_d", "fig_random_data_n", "table_random_data_authors")
INTERVAL = "Student-t 95 % interval of the mean over draws of the data"


def data(frame: pd.DataFrame) -> pd.DataFrame:
    """What each network ends with."""
    labels = frame.zeros.astype(object).where(frame.zeros.notna(), "drawn").astype(str)
    frame = frame.assign(labels=labels).rename(columns={"n_train": "n"})
    return endings(frame, "d", "n", "labels", "learning_rule", "optimizer", "lr")


def tabulate(networks: pd.DataFrame) -> pd.DataFrame:
    """One row per setting: the last epoch's test error over draws of the data, and its difference
    to BP's of the same optimizer, paired over them."""
    networks = networks.assign(error=1 - networks.test_accuracy)
    rows = []
    for problem, block in networks.groupby(["d", "n", "labels", "optimizer"]):
        errors = block.pivot(index="seed", columns="learning_rule", values="error")
        for rule, error in errors.items():
            d, n, labels, optimizer = problem
            to_bp = [] if rule == "bp" else (error - errors["bp"]).tolist()
            rows.append(
                {
                    "d": d,
                    "n": n,
                    "labels": labels,
                    "learning_rule": rule,
                    "optimizer": optimizer,
                    "lr": block.lr[block.learning_rule == rule].iloc[0],
                    **summarize(error.tolist()).columns("test_error"),
                    "draws": int(error.notna().sum()),
                    **summarize(to_bp).columns("difference_to_bp", sd=False),
                }
            )
    keys = ["labels", "d", "n", "learning_rule", "optimizer"]
    return pd.DataFrame(rows).sort_values(keys, ascending=[False, True, True, True, True])
