"""Claims about a number, and what its interval says of them."""

from dataclasses import dataclass
from math import inf

import pandas as pd

from fabench.figure.measure import Measure
from fabench.run.statistics import Summary


@dataclass(frozen=True)
class Claim:
    """``measure`` takes the table's number, which the claim says to lie between two bounds."""

    document: str
    claim: str
    table: str
    number: str
    measure: Measure
    bounds: tuple[float, float]
    source: str = ""
    """The document's own number, as it stands there."""


def judged(claim: Claim, table: pd.DataFrame | None) -> dict[str, object]:
    """A claim's row, of the table that it is about, if that is there."""
    try:
        found = None if table is None else claim.measure.of(table)
    except LookupError:
        found = None
    return {
        "document": claim.document,
        "claim": claim.claim,
        "verdict": verdict(found, claim.bounds),
        "number": claim.number,
        "mean": found and found.mean,
        "ci95_low": found and found.low,
        "ci95_high": found and found.high,
        "claimed": _words(claim.bounds),
        "source": claim.source,
        "table": claim.table,
    }


def verdict(found: Summary | None, bounds: tuple[float, float]) -> str:
    """Whether a number with this interval lies within the bounds."""
    if found is None:
        return "not computed"
    low, high = bounds
    if low < found.low and found.high < high:
        return "holds"
    if found.high <= low or high <= found.low:
        return "does not"
    return "open"


def _words(bounds: tuple[float, float]) -> str:
    low, high = bounds
    if low == -inf:
        return f"below {high:g}"
    return f"above {low:g}" if high == inf else f"{low:g} to {high:g}"
