"""Linear warm-up, then cosine annealing.

    factor = start + (1 - start) epoch / warmup             while epoch < warmup
             cosine's, of the epochs after the warm-up      then

References: P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017,
arXiv:1706.02677, section 2.2, for the warm-up; I. Loshchilov, F. Hutter, "SGDR: stochastic gradient
descent with warm restarts", 2017, arXiv:1608.03983, equation 5.
"""

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.schedule.base import WholeRunSchedule
from fabench.schedule.cosine import annealed
from fabench.schema import STRICT, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class WarmupCosine(WholeRunSchedule):
    name: str
    warmup: Rate
    start: NonNegative
    final: NonNegative

    def factor(self, done: Tensor, epochs: int) -> Tensor:
        rising = self.start + (1 - self.start) * done / self.warmup
        part = (done - self.warmup) / (epochs - self.warmup)
        return torch.where(done < self.warmup, rising, annealed(part, self.final))
