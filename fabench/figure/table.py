"""What tables share: as Markdown; errors beside BP's."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from fabench.run.statistics import summarize


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, numbers to four digits."""
    rows = [list(table.columns), ["---"] * len(table.columns)]
    for row in table.itertuples(index=False):
        rows.append([_cell(value) for value in row])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return "" if value is None else str(value)


def errors_beside_bp(
    frame: pd.DataFrame,
) -> Iterator[tuple[tuple[str, str], pd.DataFrame, dict[str, Any]]]:
    """Of every dataset and rule, its rows of the last epoch by seed, and these columns of a table:
    the number of seeds, the test error in %, and its difference to BP's, paired over seeds (same
    data, same initial weights)."""
    last = frame[frame.epoch == frame.epoch.max()]
    last = last.assign(error=100 * (1 - last.test_accuracy)).set_index("seed")
    for (dataset, rule), run in last.groupby(["dataset", "learning_rule"], sort=False):
        bp = last[(last.dataset == dataset) & (last.learning_rule == "bp")]
        error = summarize(run.error.tolist())
        to_bp = summarize([] if rule == "bp" else (run.error - bp.error).tolist())
        columns = {
            "seeds": error.n,
            **error.columns("test_error"),
            **to_bp.columns("difference_to_bp", sd=False),
        }
        yield (dataset, rule), run, columns
