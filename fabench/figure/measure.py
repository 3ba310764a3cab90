"""Numbers with their intervals, read off the tables and data in a folder of outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from fabench.run.statistics import Summary, summarize

Where = Mapping[str, object]
BySeed = Callable[[pd.DataFrame], "pd.Series[float]"]
"""Values of a figure's data, which have a row for each network: one a seed."""


@dataclass(frozen=True)
class Measure:
    """A number with its interval, of a file in a folder of outputs."""

    folder: Literal["tables", "data"]
    of: Callable[[pd.DataFrame], Summary]


def paired(column: str, where: Where) -> Measure:
    """The difference that a table has paired."""

    def measure(table: pd.DataFrame) -> Summary:
        row = _row(table, where)
        mean, low, high = (row[f"{column}_{end}"] for end in ("mean", "ci95_low", "ci95_high"))
        return Summary(_count(row), mean, float("nan"), low, high)

    return Measure("tables", measure)


def by_seed(column: str, where: Where, scale: float = 1) -> BySeed:
    """One kind of networks."""

    def values(networks: pd.DataFrame) -> "pd.Series[float]":
        found = _rows(networks, where).set_index("seed")[column]
        if found.empty or not found.index.is_unique:
            raise LookupError(f"{len(found)} networks with {dict(where)}")
        return scale * found

    return values


def minus(one: BySeed, other: BySeed) -> BySeed:
    """One less another, of the same seeds."""

    def values(networks: pd.DataFrame) -> "pd.Series[float]":
        first, second = one(networks), other(networks)
        if set(first.index) != set(second.index):
            raise LookupError("networks of other seeds")
        return first - second

    return values


def over_seeds(values: BySeed) -> Measure:
    """Their mean."""
    return Measure("data", lambda networks: summarize(values(networks).tolist()))


def _row(table: pd.DataFrame, where: Where) -> "pd.Series[float]":
    """The only row with these values. Raises LookupError if there is none or another."""
    rows = _rows(table, where)
    if len(rows) != 1:
        raise LookupError(f"{len(rows)} rows with {dict(where)}")
    return rows.iloc[0]


def _rows(table: pd.DataFrame, where: Where) -> pd.DataFrame:
    """The rows with these values."""
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def _count(row: "pd.Series[float]") -> int:
    """Of how many networks it tells; 0 if it does not say."""
    return int(next((row[name] for name in ("seeds", "draws", "trials") if name in row), 0))
