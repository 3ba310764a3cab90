"""``tune.method=grid``: values of one setting, refined around the best and extended at an edge."""

from collections.abc import Sequence

import numpy as np

from fabench.command.search.base import Point, PointScore, Search, best_of, rounded
from fabench.run.progress import console

EXTENSIONS = 4
"""How often a grid may grow beyond an edge before the search gives up."""


class Grid:
    """``tune.method=grid``: values of ``tune.key``."""

    def __init__(self, search: Search, centre: float) -> None:
        self.key, self.values = search.key, first_grid(search, centre)
        self.refinements, self.extensions = search.refinements, EXTENSIONS

    def ask(self) -> list[Point]:
        return [{self.key: value} for value in self.values]

    def tell(self, scores: Sequence[PointScore]) -> None:
        best = best_of(scores)
        self.values = next_grid(scores, self.refinements, self.extensions)
        if self.values and best in (scores[0], scores[-1]):
            self.extensions -= 1
            console.print(f"{best} is the best and the grid's edge: extending")
        elif self.values:
            self.refinements -= 1


def next_grid(
    scores: Sequence[PointScore], refinements_left: int, extensions_left: int
) -> list[float]:
    """The values to try next, given ``scores`` in ascending order of value; [] when done.

    At an edge: two more values beyond it, in the grid's steps. Inside: the geometric midpoints to
    both neighbours of the best value.
    """
    values = [s.values[0] for s in scores]
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


def first_grid(search: Search, centre: float) -> list[float]:
    """The values to begin with, ascending; rounded to three digits."""
    if search.values is not None:
        return sorted(search.values)
    exponents = np.linspace(-1, 1, search.points)
    return [rounded(centre * search.span**x) for x in exponents]
