"""Whether the advantage of formulas that searches have found survives a tuned learning rate.

M. Alber et al., "Backprop evolution", 2018, arXiv:1808.02822, report formulas (test accuracies of
WRN-16-2 after 20 and after 100 epochs, of WRN-10-1 after 100, CIFAR-10) that beat backpropagation
in few epochs, and less, or not, in many or with momentum. At which rates they do not say, nor does
R. H. Eyono, "Learning to backpropagate", 2020, who suspects that formulas act as a learning rate.
Here each has its own: the smallest of five whose accuracy on validation data after the last epoch
is within one standard error of the best mean, of three seeds that the result does not use; and,
beside it, the rate that is backpropagation's own.

Differences to BP are paired over five seeds (same data, same initial weights); p values of
Student's paired test carry Holm's correction for all of their column. A rate at which a seed
diverges on validation data is nobody's own (a formula without one has no number); of the rate that
is BP's own the table counts them.

Differences from the paper:
1. scale=cpu: a multilayer perceptron (49-4x32-10) on Fashion-MNIST, batches of 250, 4 and 12 epochs
   (960 and 2,880 steps; theirs about 8,000 and 39,000), no weight decay.
2. The rate follows a cosine without warm-up, for few and for many epochs.
3. FORMULAS has only some of the paper's, all with and without momentum. The best of WRN-16-2 after
   100 epochs, g / norm2(g) * sign(bn(D)), is g / fro(g) here, to the last digit, as long as no ReLU
   is on for all examples.
"""

from typing import Any

import numpy as np
import pandas as pd

from fabench.figure.data import endings
from fabench.run.statistics import holm, paired_p, summarize
from fabench.schema import UserError

EXPERIMENTS = tuple(
    f"table_backprop_evolution{part}" for part in ("", "_momentum", "_rates", "_rates_momentum")
)
ON_REQUEST = True  # a formula of it comes from a search
DIVERGENCE = True  # the largest rates are too large for some

BP = "g"
FORMULAS = {
    BP: "backpropagation",
    "g / fro(g)": "paper, everywhere among the best",
    "g / fro(g) + 0.5 * g": "paper, second of momentum, 20 epochs",
    "min(g / fro(g), clip(h, 1))": "paper, best of SGD, 20 epochs",
    "g / matrix1(g) + q / norm2(q)": "paper, best of SGD, 100 epochs",
    "0.5 * g / (running_std(D) + 0.1)": "paper, fourth of SGD, 100 epochs",
    "min(1 / bn(g) / norm_inf(1 / bn(g)), running_mean(h_pre) / row_inf(running_mean(h_pre)))": (
        "search=evolution here, best of SGD, 4 epochs"
    ),
}
"""Where each formula comes from."""


def data(frame: pd.DataFrame) -> pd.DataFrame:
    """What each network ends with."""
    return endings(frame, "optimizer", "epochs", "formula", "lr", "evaluate_on")


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each optimizer, number of epochs and formula; accuracies in %. Raises UserError if
    a rate that was chosen has no test."""
    frame = frame.assign(accuracy=100 * frame.test_accuracy)
    rows: list[dict[str, Any]] = []
    p: dict[str, list[float]] = {"difference_to_bp": [], "difference_at_bps_rate": []}
    for (optimizer, epochs), block in frame.groupby(["optimizer", "epochs"], sort=False):
        by_data = {
            (split, formula): of.pivot(index="seed", columns="lr", values="accuracy")
            for (split, formula), of in block.groupby(["evaluate_on", "formula"], sort=False)
        }
        bps_rate = own_rate(by_data["validation", BP])
        if bps_rate is None:
            raise UserError(f"{BP} diverges at every rate: give smaller ones, optimizer.lr=...")
        bp = by_data["test", BP][bps_rate]
        for formula in block.formula.unique():
            tested, rate = by_data["test", formula], own_rate(by_data["validation", formula])
            for needed in {rate or bps_rate, bps_rate} - set(tested):
                raise UserError(
                    f"{formula} is not tested at the rate {needed:g}: give one list for all, "
                    "optimizer.lr=..."
                )
            own = tested[rate] if rate else pd.Series(dtype=float)
            at_bps_rate = tested[bps_rate]
            row: dict[str, Any] = {
                "optimizer": optimizer,
                "epochs": epochs,
                "formula": formula,
                "from": FORMULAS[formula],
                "lr": rate or np.nan,
                "diverged": own.isna().sum() if rate else np.nan,
                **summarize(own.tolist()).columns("test_accuracy"),
            }
            for name, accuracy in zip(p, (own, at_bps_rate), strict=True):
                difference = [] if formula == BP else (accuracy - bp).tolist()
                row |= summarize(difference).columns(name, sd=False)
                row[f"{name}_p_holm"] = np.nan  # put in when all are there
                p[name].append(paired_p(difference))
            rows.append(row | {"diverged_at_bps_rate": at_bps_rate.isna().sum()})
    corrected = {f"{name}_p_holm": holm(values) for name, values in p.items()}
    return pd.DataFrame(rows).assign(**corrected)


def own_rate(accuracy: pd.DataFrame) -> float | None:
    """Of accuracies [seeds, rates], NaN where a seed diverged: the smallest rate within one
    standard error of the best mean; None if a seed diverged at every rate."""
    fit = accuracy.dropna(axis=1)
    if fit.empty:
        return None
    scores = dict(zip(fit.columns.tolist(), map(summarize, fit.T.to_numpy().tolist()), strict=True))
    best = max(scores.values(), key=lambda s: s.mean)
    return min(float(rate) for rate, s in scores.items() if s.mean >= best.within_one_error)
