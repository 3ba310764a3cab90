"""The learning rate as it is."""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.schedule.base import Schedule
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Constant(Schedule):
    name: str

    def at(self, t: int | Tensor, steps_an_epoch: int, epochs: int) -> float:
        return 1.0
