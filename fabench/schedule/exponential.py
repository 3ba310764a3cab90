"""Exponential decay: in every step by the same factor.

factor = gamma^epoch, of parts of an epoch, too
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.schedule.base import ChangingSchedule
from fabench.schema import STRICT, Rate


@dataclass(frozen=True, config=STRICT)
class Exponential(ChangingSchedule):
    name: str
    gamma: Rate

    def factor(self, done: Tensor, epochs: int) -> Tensor:
        return self.gamma**done
