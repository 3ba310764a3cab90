"""Test error on cluster data for every d, n, learning rule and optimizer, as one table."""

import pandas as pd

from fabench.run.statistics import summarize

EXPERIMENTS = ("fig_random_data_d", "fig_random_data_n")


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per setting: mean and sd of the last epoch's test error over labelings (draws)."""
    last = frame[frame.epoch == frame.epoch.max()].rename(columns={"n_train": "n"})
    keys = ["d", "n", "learning_rule", "optimizer"]
    rows = []
    for setting, run in last.groupby(keys):
        error = summarize((1 - run.test_accuracy).tolist())
        rows.append([*setting, error.mean, error.sd, error.n])
    return pd.DataFrame(rows, columns=[*keys, "test_error_mean", "test_error_sd", "draws"])
