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
        if self.values is None:
            values = first_grid(subject.centre(key), span, self.points, subject.most(key))
            if len(values) < 2:
                raise UserError(f"tune.span={span:g}: it leaves less than two values.")
        else:
            subject.number(key, f"tune.key={key}")
            values = sorted(self.values)
        return nullcontext(Refinement(key, values, self.refinements, subject.most(key)))

    def start_setting(self, key: str) -> str:
        return key if self.values is None else "search.values"

    def unsettled(self, scores: Sequence[PointScore], subject: Subject) -> str | None:
        best, values = best_of(scores), [score.values for score in scores]
        [(key, value)] = best.point.items()
        if best.values not in (min(values), max(values)) or value == subject.most(key):
            return None
        return (
            f"{best} is still the grid's edge after {EXTENSIONS} extensions: "
            f"start from another {self.start_setting(key)}=."
        )


class Refinement:
    """A grid of one setting that follows its best value."""

    def __init__(self, key: str, values: list[float], refinements: int, most: float) -> None:
        self.key, self.values, self.most = key, values, most
        self.refinements, self.extensions = refinements, EXTENSIONS

    def ask(self) -> list[Point]:
        return [{self.key: value} for value in self.values]

    def tell(self, scores: Sequence[PointScore]) -> None:
        scores = sorted(scores, key=lambda score: score.values)
        best = best_of(scores)
        self.values = next_grid(scores, self.refinements, self.extensions, self.most)
        if self.values and best in (scores[0], scores[-1]):
            self.extensions -= 1
            console.print(f"{best} is the best and the grid's edge: extending")
        elif self.values:
            self.refinements -= 1


def first_grid(centre: float, span: float, points: int, most: float = np.inf) -> list[float]:
    """Values to begin with, log-spaced from centre / span to centre * span, none above ``most``; in
    three digits, each once."""
    exact = (centre * span**x for x in np.linspace(-1, 1, points))
    return sorted({min(rounded(value), most) for value in exact})


def next_grid(
    scores: Sequence[PointScore],
    refinements_left: int,
    extensions_left: int,
    most: float = np.inf,
) -> list[float]:
    """The values to try next, given ``scores`` in ascending order of value; [] when done.

    At an edge: two more values beyond it, in the grid's steps, none above ``most``. Inside: the
    geometric midpoints to both neighbours of the best value.
    """
    values = [float(s.values[0]) for s in scores]
    best = scores.index(best_of(scores))
    if best in (0, len(values) - 1):
        if not extensions_left:
            return []
        inner = values[1] if best == 0 else values[-2]
        step = values[best] / inner
        beyond = (min(rounded(values[best] * step**n), most) for n in (1, 2))
        return [value for value in dict.fromkeys(beyond) if value not in values]
    if not refinements_left:
        return []
    sides = (values[best - 1], values[best + 1])
    return [v for v in (rounded((values[best] * side) ** 0.5) for side in sides) if v not in values]
