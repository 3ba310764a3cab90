"""Accuracy of BP and DFA in every precision, with the paired difference to fp32.

BP's learning rate was chosen by one seed, on validation data.
"""

import pandas as pd

from fabench.run.statistics import summarize

EXPERIMENTS = ("table_precision",)
ON_REQUEST = True  # 800 network epochs


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per rule and precision: test accuracy at the last epoch, and its difference to fp32,
    paired over seeds (same data, same initial weights)."""
    last = frame[frame.epoch == frame.epoch.max()]
    rows = []
    for (rule, precision), run in last.groupby(["learning_rule", "precision"]):
        accuracy = run.set_index("seed").test_accuracy
        s = summarize(accuracy.tolist())
        exact = last[(last.learning_rule == rule) & (last.precision == "fp32")]
        difference = summarize((accuracy - exact.set_index("seed").test_accuracy).tolist())
        rows.append(
            {
                "learning_rule": rule,
                "precision": precision,
                "seeds": s.n,
                **s.columns("test_accuracy"),
                **difference.columns("difference_to_fp32", sd=False),
            }
        )
    return pd.DataFrame(rows)
