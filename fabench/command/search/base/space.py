"""The space of a search: for each setting bounds, bits or choices.

``search.space`` says it so:

    optimizer.lr: [1e-3, 1]              between two bounds: uniform in the logarithm where both
                                         are positive, else uniform
    optimizer.beta1: {linear: [0.5, 1]}  uniform
    learning_rule.mode: {bits: [1, 15]}  a whole number whose binary digits are switches
    model.activation: {choices: [relu, tanh]}

Every setting has coordinates in [0, 1]: one for bounds, one for every bit, one for every choice (1
for the chosen, 0 for the others).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.command.search.base.method import Search
from fabench.command.search.base.subject import Point, Subject, Value, rounded
from fabench.run.config import GROUPS
from fabench.schema import LARGEST, STRICT, Count, UserError

Array = NDArray[np.float64]

STEP = 0.1
"""Standard deviation of a step to a neighbour, in parts of the distance of two bounds."""


class Dimension(ABC):
    """What one setting may be."""

    @abstractmethod
    def draw(self, random: np.random.Generator) -> Value:
        """A value, all alike."""

    @abstractmethod
    def coordinates(self, value: Value) -> list[float]:
        """Where a value lies, in [0, 1] each."""

    @abstractmethod
    def ends(self) -> list[Value]:
        """Values of which none is refused if no value is."""

    def holds(self, value: Value) -> bool:
        """Whether a value is one of these."""
        return value in self.ends()

    def near(self, value: Value, random: np.random.Generator) -> Value:
        """A value close to another, or any where none is closer than the others."""
        return self.draw(random)


@plain_dataclass(frozen=True)
class Bounds(Dimension):
    """A real number between two, both included; in three digits."""

    low: float
    high: float
    log: bool

    def draw(self, random: np.random.Generator) -> float:
        return self.at(random.uniform())

    def at(self, part: float) -> float:
        """The number that lies at a part of the way from the lower bound."""
        if self.log:
            value = self.low * (self.high / self.low) ** part
        else:
            value = self.low + (self.high - self.low) * part
        return self.within(value)

    def within(self, value: float) -> float:
        """A number as it is trained and kept: in three digits, within the bounds."""
        return min(max(rounded(value), self.low), self.high)

    def coordinates(self, value: Value) -> list[float]:
        low, x, high = (np.log([self.low, value, self.high]) if self.log else
                        (self.low, float(value), self.high))  # fmt: skip
        return [float((x - low) / (high - low))]

    def ends(self) -> list[Value]:
        return [self.low, self.high]

    def holds(self, value: Value) -> bool:
        return self.low <= float(value) <= self.high

    def near(self, value: Value, random: np.random.Generator) -> float:
        [part] = self.coordinates(value)
        return self.at(float(np.clip(part + random.normal(scale=STEP), 0, 1)))


@plain_dataclass(frozen=True)
class Bits(Dimension):
    """A whole number from low to high, as a float, as a row's switches are."""

    low: int
    high: int

    def draw(self, random: np.random.Generator) -> float:
        return float(random.integers(self.low, self.high + 1))

    def coordinates(self, value: Value) -> list[float]:
        return [float(bit) for bit in f"{int(value):0{self.high.bit_length()}b}"]

    def ends(self) -> list[Value]:
        return [float(self.low), float(self.high)]

    def holds(self, value: Value) -> bool:
        return self.low <= float(value) <= self.high


@plain_dataclass(frozen=True)
class Choices(Dimension):
    """One of several values without an order."""

    values: tuple[Value, ...]

    def draw(self, random: np.random.Generator) -> Value:
        return self.values[random.integers(len(self.values))]

    def coordinates(self, value: Value) -> list[float]:
        return [float(value == other) for other in self.values]

    def ends(self) -> list[Value]:
        return list(self.values)


class Space(dict[str, Dimension]):
    """Every setting's dimension, by its key."""

    def draw(self, random: np.random.Generator) -> Point:
        """A point, each setting's value drawn by itself."""
        return {key: dimension.draw(random) for key, dimension in self.items()}

    def near(self, point: Point, random: np.random.Generator) -> Point:
        """A point some of whose values, each with probability 1/2, are close to another's."""
        return {
            key: dimension.near(point[key], random) if random.uniform() < 0.5 else point[key]
            for key, dimension in self.items()
        }

    def coordinates(self, points: Sequence[Mapping[Any, Any]]) -> Array:
        """Where points lie: [points, coordinates]."""
        return np.array(
            [
                [x for key, dimension in self.items() for x in dimension.coordinates(point[key])]
                for point in points
            ]
        )


@dataclass(frozen=True, config=STRICT)
class SpaceSearch(Search):
    """A search of ``trials`` points of a space, ``batch`` at a time."""

    name: str
    space: Annotated[dict[str, Any], Field(min_length=1)] | None
    trials: Count
    batch: Count

    def start_setting(self, key: str) -> str:
        return key if self.space is None else "search.space"

    def dimensions(self, subject: Subject) -> Space:
        """The space that is wanted; without one the settings of ``tune.key``, each from its value
        over ``tune.span`` to that times the value. Raises UserError for what the subject cannot be.
        """
        wanted = self.space
        if wanted is None:
            span, wanted = subject.tuning.span, {}
            for key in subject.searched():
                centre, most = subject.centre(key), subject.most(key)
                wanted[key] = [rounded(centre / span), min(rounded(centre * span), most)]
        space = Space()
        for key, entry in wanted.items():
            request = f"search.space.{key}"
            group, _, name = key.partition(".")
            if group not in GROUPS or name in ("", "name"):
                raise UserError(f"{request}: search settings of groups, such as optimizer.lr.")
            if key == "trainer.evaluate_on":
                raise UserError(f"{request}: tune.split names the data that choose.")
            space[key] = dimension(request, entry)
            if isinstance(space[key], Bounds):
                subject.number(key, request)
            else:
                subject.value(key, request)
            for end in space[key].ends():
                subject.changed({key: end})  # refuses what is out of range
        return space


def dimension(request: str, entry: Any) -> Dimension:
    """A setting's dimension from what ``search.space`` says. Raises UserError."""
    given = f"{request}={_text(entry)}"
    kind, values = "", entry
    if isinstance(entry, dict) and len(entry) == 1:
        [(kind, values)] = entry.items()
    if not isinstance(values, list) or kind not in ("", "linear", "bits", "choices"):
        raise UserError(
            f"{given}: write [low,high], {{linear:[low,high]}}, {{bits:[low,high]}} or "
            "{choices:[...]}."
        )
    if kind == "choices":
        if len({(type(v), v) for v in values if isinstance(v, Value)}) < max(2, len(values)):
            raise UserError(f"{given}: choices are several numbers or names, each there once.")
        return Choices(tuple(values))
    if len(values) != 2 or any(type(v) not in (int, float) for v in values):
        raise UserError(f"{given}: bounds are two numbers.")
    low, high = values
    if not low < high:
        raise UserError(f"{given}: the lower bound is first.")
    if kind == "bits":
        if low < 0 or any(type(v) is not int for v in values):
            raise UserError(f"{given}: bits are whole numbers from 0.")
        return Bits(low, high)
    if max(-low, high) > LARGEST:
        raise UserError(f"{given}: bounds are at most {LARGEST:g}, or float32 overflows.")
    return Bounds(float(low), float(high), log=low > 0 and not kind)


def _text(entry: Any) -> str:
    """As a command line has it."""
    if isinstance(entry, dict):
        return "{" + ",".join(f"{key}:{_text(value)}" for key, value in entry.items()) + "}"
    if isinstance(entry, list):
        return "[" + ",".join(map(_text, entry)) + "]"
    return f"{entry:g}" if isinstance(entry, float) else str(entry)
