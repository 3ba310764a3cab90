"""What every schedule is: how a learning rate changes in the course of a run.

    lr(t) = lr factor(epochs done, epochs in all)

The factor is 1 at the beginning or after a warm-up; weight decay, which takes lr wd of a weight in
a step, changes with it. A schedule's numbers are shared by all rows, each row has its own lr.
"""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor


class Schedule(ABC):
    """A subclass is a frozen pydantic dataclass; its fields are the schedule's settings."""

    name: str

    @abstractmethod
    def at(self, t: int | Tensor, steps_an_epoch: int, epochs: int) -> float | Tensor:
        """What lr is multiplied by in step ``t``, from 1, of a run of so many epochs; a tensor []
        where t is one."""


class ChangingSchedule(Schedule):
    """A schedule of which a longer run begins as a shorter one."""

    @final
    def at(self, t: int | Tensor, steps_an_epoch: int, epochs: int) -> float | Tensor:
        done = (torch.as_tensor(t, dtype=torch.float64) - 1) / steps_an_epoch
        factor = self.factor(done, epochs)
        return factor if isinstance(t, Tensor) else float(factor)

    @abstractmethod
    def factor(self, done: Tensor, epochs: int) -> Tensor:
        """The factor [] in float64, when so many epochs [] are done, whole or in part."""


class WholeRunSchedule(ChangingSchedule):
    """A schedule that looks at how many epochs there will be."""
