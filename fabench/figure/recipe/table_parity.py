"""Every rule and optimizer of the thesis's figures on MNIST parity, as one table."""

import numpy as np
import pandas as pd

from fabench.figure.table import of_images
from fabench.run.statistics import holm, paired_p, summarize

EXPERIMENTS = ("fig_2_1", "fig_3_1", "fig_3_2", "fig_3_2_bp", "fig_3_3", "fig_3_4")

FIGURES = ("fig_2_1", "fig_3_1", "fig_3_2", "fig_3_3", "fig_3_4")

KEYS = ["learning_rule", "optimizer", "init_of_B", "k", "epochs", "lr"]


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per setting: test accuracy at the last epoch, alignment, best epoch, lead over BP.

    The difference is paired over seeds, with BP of the same optimizer, k and number of epochs;
    empty where there is no such BP run. p is of Student's paired test, and p_holm is corrected for
    the optimizers with which a rule is compared (Holm).
    """
    rows: list[dict[str, object]] = []
    for key, run in frame.groupby(KEYS, dropna=False):
        setting = dict(zip(KEYS, key, strict=True))
        final = _final(run)
        accuracy = summarize(final.test_accuracy.tolist())
        alignment = final.get("weight_alignment", pd.Series(dtype=float)).mean()
        scored = run.dropna(subset="test_accuracy")
        best = scored.loc[scored.groupby("seed").test_accuracy.idxmax()].epoch.mean()
        bp = frame[
            (frame.learning_rule == "bp")
            & (frame.optimizer == setting["optimizer"])
            & (frame.k == setting["k"])
            & (frame.epochs == setting["epochs"])
        ]
        difference = (final.test_accuracy - _final(bp).test_accuracy).tolist() if len(bp) else []
        rows.append(
            {
                **setting,
                "seeds": accuracy.n,
                **accuracy.columns("test_accuracy"),
                **of_images("test_accuracy", final, per_cent=False),
                "weight_alignment_mean": alignment,
                "best_epoch_mean": best,
                **summarize(difference).columns("difference_to_bp", sd=False),
                "p": paired_p(difference),
            }
        )
    table = pd.DataFrame(rows)
    differences = [column for column in map(str, table.columns) if column.startswith("difference")]
    table.loc[table.learning_rule == "bp", differences] = np.nan
    compared = table.groupby(["learning_rule", "init_of_B", "k", "epochs"], dropna=False).p
    table["p_holm"] = compared.transform(lambda p: holm(p.tolist()))
    return table.sort_values(["k", "learning_rule", "optimizer", "init_of_B", "epochs"])


def _final(run: pd.DataFrame) -> pd.DataFrame:
    """The last epoch, one row per seed."""
    return run[run.epoch == run.epoch.max()].set_index("seed")
