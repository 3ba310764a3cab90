"""What a search over settings is made of: how it is asked for, points, scores, methods."""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.run.statistics import Summary
from fabench.schema import STRICT, Count, InFloat32, Rate, UserError

Point = dict[str, float]
"""A value for every searched setting, by its dotted key."""

Bounds = Annotated[list[Rate], Field(min_length=2, max_length=2)]

MOST_POINTS = 1000
"""Of a grid, which trains as one population: in three digits, more are no other values."""


@dataclass(frozen=True, config=STRICT)
class Search:
    """How to search; see conf/tune.yaml."""

    method: Literal["grid", "optuna"]
    key: str
    values: Annotated[list[Rate], Field(min_length=2)] | None
    span: Annotated[float, Field(gt=1), InFloat32]
    points: Annotated[int, Field(ge=2, le=MOST_POINTS)]
    refinements: Annotated[int, Field(ge=0)]
    space: Annotated[dict[str, Bounds], Field(min_length=1)] | None
    trials: Count
    batch: Count
    split: Literal["validation", "test"]
    last_epochs: Count
    save: bool

    def __post_init__(self) -> None:
        if self.method == "grid" and self.space is not None:
            raise UserError("tune.space= is for tune.method=optuna; a grid takes tune.values=.")
        if self.method == "optuna" and self.values is not None:
            raise UserError("tune.values= is for tune.method=grid; Optuna takes tune.space=.")
        if self.values and len(set(self.values)) < len(self.values):
            raise UserError(f"tune.values={self.values}: a value stands there twice.")
        for key, (low, high) in (self.space or {}).items():
            if low >= high:
                raise UserError(f"tune.space.{key}=[{low:g},{high:g}]: the lower bound is first.")


@plain_dataclass(frozen=True)
class PointScore:
    """A point's score: mean accuracy (or -NSE) over the last epochs, summarized over seeds.

    ``diverged`` seeds make a point unfit whatever the others reach.
    """

    point: Point
    summary: Summary
    diverged: int

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(self.point.values())

    @property
    def mean(self) -> float:
        return -np.inf if self.diverged else self.summary.mean

    def __str__(self) -> str:
        return " ".join(f"{key}={value:g}" for key, value in self.point.items())


class Method(Protocol):
    """What decides which points are tried."""

    def ask(self) -> list[Point]:
        """The points to train next; [] when done."""

    def tell(self, scores: Sequence[PointScore]) -> None:
        """Take in the scores of all points so far, in ascending order of their values."""


def best_of(scores: Sequence[PointScore]) -> PointScore:
    """The highest; of equals the one in the middle, where all diverge the first."""
    highest = max(s.mean for s in scores)
    equals = [s for s in scores if s.mean == highest]
    return scores[0] if highest == -np.inf else equals[(len(equals) - 1) // 2]


def rounded(value: float) -> float:
    """To three significant digits."""
    return float(f"{value:.3g}")
