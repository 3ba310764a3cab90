"""Cosine annealing, without restarts.

    factor = final + (1 - final) (1 + cos(pi epoch / epochs)) / 2

Reference: I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017,
arXiv:1608.03983, equation 5, in every step.
"""

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.schedule.base import WholeRunSchedule
from fabench.schema import STRICT, NonNegative


@dataclass(frozen=True, config=STRICT)
class Cosine(WholeRunSchedule):
    name: str
    final: NonNegative

    def factor(self, done: Tensor, epochs: int) -> Tensor:
        return annealed(done / epochs, self.final)


def annealed(part: Tensor, final: float) -> Tensor:
    """The factor when a ``part`` [] of the way is done."""
    return final + (1 - final) * (1 + torch.cos(torch.pi * part)) / 2
