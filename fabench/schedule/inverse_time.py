"""Decay with the inverse of time, Robbins and Monro's kind.

factor = 1 / (1 + decay epoch), of parts of an epoch, too
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.schedule.base import ChangingSchedule
from fabench.schema import STRICT, NonNegative


@dataclass(frozen=True, config=STRICT)
class InverseTime(ChangingSchedule):
    name: str
    decay: NonNegative

    def factor(self, done: Tensor, epochs: int) -> Tensor:
        return 1 / (1 + self.decay * done)
