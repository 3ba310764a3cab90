"""``search=grid``: values of one setting, refined around the best and extended at an edge."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.command.search.base.method import Method, PointScore, Search, best_of
from fabench.command.search.base.subject import ALL, Point, Subject, rounded
from fabench.run.progress import console
from fabench.schema import STRICT, CountFrom0, Rate, UserError, check_distinct

EXTENSIONS = 4
"""How often a grid may grow beyond an edge before the search gives up."""

MOST_POINTS = 1000
"""Of a grid, which trains as one population: in three digits, more are no other values."""


@dataclass(frozen=True, config=STRICT)
class Grid(Search):
    """Values of ``tune.key``."""

    name: str
    values: Annotated[list[Rate], Field(min_length=2)] | None
    points: Annotated[int, Field(ge=2, le=MOST_POINTS)]
    refinements: CountFrom0

    def __post_init__(self) -> None:
        check_distinct("search.values", self.values or [], "value")

    def start(self, subject: Subject, folder: Path) -> AbstractContextManager[Method]:
        key, span = subject.tuning.key, subject.tuning.span
        if key == ALL:
            raise UserError(f"tune.key={ALL} is several numbers: choose search=random, say.")
        centre = subject.centre(key)
        values = sorted(self.values or first_grid(centre, span, self.points))
        return nullcontext(Refinement(key, values, self.refinements))

    def unsettled(self, scores: Sequence[PointScore]) -> str | None:
        best, values = best_of(scores), [score.values for score in scores]
        if best.values not in (min(values), max(values)):
            return None
        [key] = best.point
        return (
            f"{best} is still the grid's edge after {EXTENSIONS} extensions: "
            f"start from another {key}=."
        )


class Refinement:
    """A grid of one setting that follows its best value."""

    def __init__(self, key: str, values: list[float], refinements: int) -> None:
        self.key, self.values = key, values
        self.refinements, self.extensions = refinements, EXTENSIONS

    def ask(self) -> list[Point]:
        return [{self.key: value} for value in self.values]

    def tell(self, scores: Sequence[PointScore]) -> None:
        scores = sorted(scores, key=lambda score: score.values)
        best = best_of(scores)
        self.values = next_grid(scores, self.refinements, self.extensions)
        if self.values and best in (scores[0], scores[-1]):
            self.extensions -= 1
            console.print(f"{best} is the best and the grid's edge: extending")
        elif self.values:
            self.refinements -= 1


def first_grid(centre: float, span: float, points: int) -> list[float]:
    """Values to begin with, log-spaced from centre / span to centre * span; in three digits."""
    return [rounded(centre * span**x) for x in np.linspace(-1, 1, points)]


def next_grid(
    scores: Sequence[PointScore], refinements_left: int, extensions_left: int
) -> list[float]:
    """The values to try next, given ``scores`` in ascending order of value; [] when done.

    At an edge: two more values beyond it, in the grid's steps. Inside: the geometric midpoints to
    both neighbours of the best value.
    """
    values = [float(s.values[0]) for s in scores]
    best = scores.index(best_of(scores))
    if best in (0, len(values) - 1):
        if not extensions_left:
            return []
        inner = values[1] if best == 0 else values[-2]
        step = values[best] / inner
        return [rounded(values[best] * step), rounded(values[best] * step**2)]
    if not refinements_left:
        return []
    sides = (values[best - 1], values[best + 1])
    return [v for v in (rounded((values[best] * side) ** 0.5) for side in sides) if v not in values]
