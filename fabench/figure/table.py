"""What tables share: as Markdown; errors beside BP's."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from fabench.run.statistics import binomial_error, holm, paired_p, summarize

TEST_IMAGES = 10_000

NORMAL = 1.96
"""Standard errors in half a 95 % interval."""


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, numbers to four digits."""
    rows = [[_cell(name) for name in table.columns], ["---"] * len(table.columns)]
    for row in table.itertuples(index=False):
        rows.append([_cell(value) for value in row])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def _cell(value: object) -> str:
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value).replace("|", r"\|")


def of_images(name: str, runs: pd.DataFrame, per_cent: bool = True) -> dict[str, float]:
    """A table's column ``<name>_binomial_error``: what the choice of test images, 10,000 of MNIST
    and Fashion-MNIST unless the runs have ``test_examples``, leaves open of the mean over the last
    epoch's ``runs``; NaN where their 95 % interval, over seeds, is the wider one."""
    n = next((int(n) for n in runs.get("test_examples", ()) if pd.notna(n)), TEST_IMAGES)
    s, unit = summarize(runs.test_accuracy.tolist()), 100 if per_cent else 1
    error = binomial_error(s.mean, n)
    wider = s.half_width > NORMAL * error
    return {f"{name}_binomial_error": np.nan if wider else unit * error}


def errors_beside_bp(
    frame: pd.DataFrame,
) -> Iterator[tuple[tuple[str, str], pd.DataFrame, dict[str, Any]]]:
    """Of every dataset and rule, its rows of the last epoch by seed, and these columns of a table:
    the number of seeds, the test error in %, and its difference to BP's, paired over seeds (same
    data, same initial weights), with the p value of Student's paired test, corrected for all rules
    of the dataset (Holm)."""
    last = frame[frame.epoch == frame.epoch.max()]
    last = last.assign(error=100 * (1 - last.test_accuracy)).set_index("seed")
    for dataset, of_dataset in last.groupby("dataset", sort=False):
        runs = dict(list(of_dataset.groupby("learning_rule", sort=False)))
        bp = of_dataset[of_dataset.learning_rule == "bp"].error
        to_bp = {
            rule: [] if rule == "bp" else (run.error - bp).tolist() for rule, run in runs.items()
        }
        p = dict(zip(runs, holm(list(map(paired_p, to_bp.values()))), strict=True))
        for rule, run in runs.items():
            error = summarize(run.error.tolist())
            columns = {
                "seeds": error.n,
                **error.columns("test_error"),
                **of_images("test_error", run),
                **summarize(to_bp[rule]).columns("difference_to_bp", sd=False),
                "p_holm": p[rule],
            }
            yield (dataset, rule), run, columns
