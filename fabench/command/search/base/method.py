"""What a search over settings is made of: a group's option that starts it, points, scores, a method
that asks and is told."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from fabench.command.search.base.subject import Point, Subject, Value
from fabench.run.statistics import Summary


@plain_dataclass(frozen=True)
class PointScore:
    """A point's score: mean accuracy (or -NSE) over the last epochs, summarized over seeds.

    ``diverged`` seeds make a point unfit whatever the others reach. ``angle_to_bp``: between the
    update that its rule wants of untrained networks and backpropagation's, in degrees.
    """

    point: Point
    summary: Summary
    diverged: int
    angle_to_bp: float = np.nan

    @property
    def values(self) -> tuple[Value, ...]:
        return tuple(self.point.values())

    @property
    def mean(self) -> float:
        return -np.inf if self.diverged else self.summary.mean

    def __str__(self) -> str:
        return " ".join(f"{key}={shown(value)}" for key, value in self.point.items())


class Method(Protocol):
    """What decides which points are tried. A search that was stopped begins anew: told the same
    scores it asks for the same points, and their runs are found."""

    def ask(self) -> list[Point]:
        """The points to train next; [] when done."""

    def tell(self, scores: Sequence[PointScore]) -> None:
        """Take in the scores of all points so far, in the order in which they were asked for."""


class Search(ABC):
    """An option of group ``search``: a method's settings. Each is a frozen dataclass."""

    @abstractmethod
    def start(self, subject: Subject, folder: Path) -> AbstractContextManager[Method]:
        """The method, to search the subject's settings; ``folder`` may hold what it keeps.

        Raises UserError for a request that does not fit the subject.
        """

    @abstractmethod
    def start_setting(self, key: str) -> str:
        """Which setting says where the search of ``key`` starts."""

    def finished(self, scores: Sequence[PointScore]) -> list[PointScore]:
        """The scores among which the best is: those of whole trainings."""
        return list(scores)

    def unsettled(self, scores: Sequence[PointScore], subject: Subject) -> str | None:
        """Why the best of the scores is none, after the search, in a sentence; None if it is."""
        return None


def best_of(scores: Sequence[PointScore]) -> PointScore:
    """The highest; of equals the one whose values are in the middle; the first if all diverge."""
    highest = max(s.mean for s in scores)
    equals = [s for s in scores if s.mean == highest]
    if highest == -np.inf:
        return scores[0]
    return sorted(equals, key=lambda s: s.values)[(len(equals) - 1) // 2]


def smallest_near(scores: Sequence[PointScore], best: PointScore) -> PointScore:
    """Of one searched number the smallest whose mean is within one standard error of the best's.

    A mean alone picks learning rates at the edge of stability, where seeds differ most.
    """
    near = [s for s in scores if s.mean >= best.summary.within_one_error]
    return min(near, key=lambda s: s.values)


def shown(value: Value) -> str:
    """A value for people: a number in six digits at most."""
    return f"{value:g}" if isinstance(value, float) else str(value)
