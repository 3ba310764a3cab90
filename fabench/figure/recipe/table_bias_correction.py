"""Adam with the step's number in its bias correction, and with the epoch's, as the thesis has it.

D. C. Demirbilek, "The dynamics of learning beyond stochastic gradient descent", 2021: its code's
Adam (see ``fabench.optimizer.adam``) corrects the bias by the epoch's number, and looks poor there:
does the one explain the other? Here its rates with both corrections, beside the step's at the rates
that ``fabench tune`` chose.
"""

import pandas as pd

from fabench.run.statistics import paired_p, summarize

EXPERIMENTS = ("table_bias_correction", "table_bias_correction_thesis")
ON_REQUEST = True  # 800 network epochs beside those of fig_3_4


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per rule, correction and rate: test accuracy at the last epoch, and its difference to
    that of the step's number at the tuned rate, paired over seeds (same data, same weights)."""
    last = frame[frame.epoch == frame.epoch.max()].set_index("seed")
    rows = []
    for rule, runs in last.groupby("learning_rule"):
        tuned = runs[runs.experiment == EXPERIMENTS[0]]
        for (experiment, correction), run in runs.groupby(["experiment", "bias_correction"]):
            is_tuned = experiment == EXPERIMENTS[0]
            accuracy = summarize(run.test_accuracy.tolist())
            difference = [] if is_tuned else (run.test_accuracy - tuned.test_accuracy).tolist()
            rows.append(
                {
                    "learning_rule": rule,
                    "bias_correction": correction,
                    "lr": run.lr.iloc[0],
                    "rate": "tuned" if is_tuned else "the thesis's",
                    "seeds": accuracy.n,
                    **accuracy.columns("test_accuracy"),
                    **summarize(difference).columns("difference_to_tuned", sd=False),
                    "p": paired_p(difference),
                }
            )
    return pd.DataFrame(rows)
