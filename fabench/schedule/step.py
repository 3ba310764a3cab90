"""Step decay: the learning rate falls to a part of what it was every so many epochs.

factor = gamma^floor(epoch / every)
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.schedule.base import ChangingSchedule
from fabench.schema import STRICT, Count, Rate


@dataclass(frozen=True, config=STRICT)
class Step(ChangingSchedule):
    name: str
    gamma: Rate
    every: Count

    def factor(self, done: Tensor, epochs: int) -> Tensor:
        return self.gamma ** (done / self.every).floor()
