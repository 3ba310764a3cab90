"""``search=random``: points drawn from a space, every setting by itself.

Reference: J. Bergstra, Y. Bengio, "Random search for hyper-parameter optimization", JMLR 13, 2012.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from pydantic.dataclasses import dataclass

from fabench.command.search.base.method import Method, PointScore
from fabench.command.search.base.space import Space, SpaceSearch
from fabench.command.search.base.subject import Point, Subject
from fabench.randomness import generator
from fabench.run.progress import console
from fabench.schema import STRICT, CountFrom0


@dataclass(frozen=True, config=STRICT)
class Random(SpaceSearch):
    """Points of which none depends on another."""

    seed: CountFrom0

    def start(self, subject: Subject, folder: Path) -> AbstractContextManager[Method]:
        return nullcontext(Draws(self, self.dimensions(subject)))


class Draws:
    """The points of a random search, the same for the same seed and space."""

    def __init__(self, search: Random, space: Space) -> None:
        self.search, self.space, self.asked = search, space, 0

    def ask(self) -> list[Point]:
        first, end = self.asked, min(self.asked + self.search.batch, self.search.trials)
        if first < end:
            console.print(f"Trials {first + 1} to {end} of {self.search.trials}")
        self.asked = end
        return [drawn(self.space, self.search.seed, number) for number in range(first, end)]

    def tell(self, scores: Sequence[PointScore]) -> None:
        """Nothing: no point depends on another's score."""


def drawn(space: Space, seed: int, number: int) -> Point:
    """The search's point of this number."""
    return space.draw(generator(seed, "search", number))
