"""What summary.json says of a run's metrics."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fabench.run.statistics import summarize

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def score(metrics: pd.DataFrame) -> tuple[str, int]:
    """The column that runs are compared by, and its sign: 1 where more is better, else -1."""
    return ("test_nse", -1) if "test_nse" in metrics else ("test_accuracy", 1)


def summary(metrics: pd.DataFrame) -> dict[str, Any]:
    """Statistics over seeds of every metric at the last epoch, and the best epochs.

    Diverged seeds count in no statistic; ``diverged`` tells them and their epoch. ``stopped`` tells
    after which epoch early stopping ended a seed's training, and of which one its network is.
    """
    diverged = metrics[metrics.diverged == 1].groupby("seed").epoch.min()
    last = metrics[metrics.epoch == metrics.epoch.max()].set_index("seed")
    counted = last.drop(index=diverged.index)
    result: dict[str, Any] = {
        "epochs": int(metrics.epoch.max()),
        "seeds": last.index.tolist(),
        "diverged": dict(zip(map(str, diverged.index), diverged.tolist(), strict=True)),
        "final": {},
    }
    for name in last.columns.drop(["epoch", "diverged", "stopped"], errors="ignore"):
        values = last[name]
        s = summarize(counted[name].tolist())
        result["final"][name] = {
            "n": s.n,
            "mean": number(s.mean),
            "sd": number(s.sd),
            "ci95": [number(s.low), number(s.high)],
            "per_seed": {str(seed): number(v) for seed, v in values.items()},
        }
    if "stopped" in metrics:
        result["stopped"] = {
            str(seed): {
                "after": int(rows[rows.stopped == 0].epoch.max()),
                "network_of": int(trained.epoch.iloc[0]),
            }
            for seed, rows in metrics.groupby("seed", sort=False)
            if rows.stopped.any()
            for trained in [rows[rows.epoch > 0].sort_values("validation_loss", kind="stable")]
        }
    column, sign = score(metrics)
    best = metrics[~metrics.seed.isin(diverged.index) & metrics[column].notna()]
    mean = best.groupby("epoch")[column].mean()
    at = int((sign * mean).argmax()) if len(mean) else None
    best = best.loc[(sign * best[column]).groupby(best.seed).idxmax()].set_index("seed")
    result["best_epoch"] = {
        "epoch": None if at is None else int(mean.index[at]),
        f"{column}_mean": None if at is None else number(mean.iloc[at]),
        "per_seed": {
            str(seed): {"epoch": int(epoch), column: number(value)}
            for seed, epoch, value in zip(best.index, best.epoch, best[column], strict=True)
        },
    }
    return result


def of_classes(
    confusion: NDArray[np.int64], seeds: Sequence[int], diverged: Collection[str]
) -> dict[str, Any]:
    """Of numbers of test examples [S, class, answer]: each class's accuracy, None where it has no
    example, and the numbers [class][answer] summed over the seeds that have not diverged."""
    import pandas as pd

    with np.errstate(invalid="ignore"):
        shares = confusion.diagonal(axis1=1, axis2=2) / confusion.sum(2)
    by_seed = pd.DataFrame(shares, index=list(map(str, seeds))).drop(index=list(diverged))
    counted = [str(seed) not in diverged for seed in seeds]
    return {
        "test_accuracy_of_class": {
            "mean": list(map(number, by_seed.mean())),
            "per_seed": {seed: list(map(number, row)) for seed, row in by_seed.T.items()},
        },
        "test_confusion": confusion[counted].sum(0).tolist(),
    }


def number(value: float) -> float | None:
    """JSON has no NaN and no infinity: null."""
    return float(value) if math.isfinite(value) else None
