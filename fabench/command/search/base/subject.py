"""What is searched: a run's configuration, and which of its settings."""

import copy
from dataclasses import dataclass as plain_dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.run.config import Config
from fabench.run.parsing import parse
from fabench.schema import (
    STRICT,
    Count,
    CountFrom0,
    InFloat32,
    UserError,
    check_distinct,
    largest,
    no_optimizer,
    switches,
)

Value = float | int | str | bool

Point = dict[str, Value]
"""A value for every searched setting, by its dotted key."""

ALL = "all"
"""The ``tune.key`` of a search over the rule's numbers."""


@dataclass(frozen=True, config=STRICT)
class Tuning:
    """What all searches share; see conf/tune.yaml."""

    key: str
    span: Annotated[float, Field(gt=1), InFloat32]
    split: Literal["validation", "test"]
    last_epochs: Count
    choose: Literal["smallest", "best"]
    save: bool
    retrain: CountFrom0
    retrain_seeds: Annotated[list[CountFrom0], Field(min_length=1)]

    def __post_init__(self) -> None:
        check_distinct("tune.retrain_seeds", self.retrain_seeds, "seed")


@plain_dataclass(frozen=True)
class Subject:
    """A composed configuration (plain containers), whose settings are searched."""

    raw: dict[str, Any]
    tuning: Tuning

    @cached_property
    def config(self) -> Config:
        """The configuration as it stands."""
        return parse(copy.deepcopy(self.raw))

    def changed(self, point: Point) -> Config:
        """The configuration with a point's values. Raises UserError if these are refused."""
        return parse(put(copy.deepcopy(self.raw), point))

    def searched(self) -> list[str]:
        """The settings that ``tune.key`` names: one, or all: the learning rate, where there is one,
        and every number of the rule that is positive, but for switches."""
        if self.tuning.key != ALL:
            return [self.tuning.key]
        groups, numbers = ("optimizer.lr", "learning_rule."), self.config.scalars()
        for name in switches(type(self.config.learning_rule)):
            del numbers[f"learning_rule.{name}"]
        return [key for key, value in numbers.items() if key.startswith(groups) and value > 0]

    def centre(self, key: str) -> float:
        """A setting's value, a positive number, from which a search starts."""
        value = self.number(key, f"tune.key={key}")
        if value <= 0:
            raise UserError(
                f"tune.key={key}: its value {value} is no positive number to start from."
            )
        return value

    def number(self, key: str, request: str) -> float:
        """A setting's value, a real number."""
        value = self.value(key, request)
        if not isinstance(value, float):
            raise UserError(f"{request}: its value {value} is no real number.")
        return value

    def value(self, key: str, request: str) -> Any:
        """A setting's value. Raises UserError, about the ``request``, if there is no such one."""
        if self.config.optimizer is None and key.startswith("optimizer."):
            raise UserError(no_optimizer(request, self.config.learning_rule.name))
        node: Any = self.config.resolved()
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                raise UserError(f"{request} is not a setting.")
            node = node[part]
        return node

    def most(self, key: str) -> float:
        """The largest value that a setting takes."""
        group, _, name = key.partition(".")
        return largest(type(getattr(self.config, group)), name)


def put(raw: dict[str, Any], point: Point) -> dict[str, Any]:
    """The configuration, changed in place, with a point's values."""
    for key, value in point.items():
        *path, last = key.split(".")
        node = raw
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return raw


def rounded(value: float) -> float:
    """To three significant digits."""
    return float(f"{value:.3g}")
