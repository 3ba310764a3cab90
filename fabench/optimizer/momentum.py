"""Gradient descent with momentum (heavy ball).

    v <- gamma v + lr g                                              (1)
    W <- W - v                                                       (2)

gamma (setting ``momentum``): the share of the last step that is kept; lr: learning rate; g: the
batch-mean gradient; v: the step, shaped like W, 0 at the start.

Reference: S. Ruder, "An overview of gradient descent optimization algorithms", 2016,
arXiv:1609.04747, section 4.1. First: B. T. Polyak, "Some methods of speeding up the convergence of
iteration methods", 1964.

Differences from torch.optim.SGD(momentum=...)
1. torch leaves lr out of (1) and multiplies by it in (2): its velocity is v / lr. The weights are
   the same while lr is constant; where a schedule changes it, torch's earlier steps change with
   it, and ours, the thesis's, stay as they were.
"""

from types import SimpleNamespace
from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_scaled_
from fabench.schema import STRICT, Fraction, Rate


@dataclass(frozen=True, config=STRICT)
class Momentum(Optimizer):
    name: str
    lr: Rate
    momentum: Fraction

    linear: ClassVar[bool] = True

    def initial_state(self, W: Tensor) -> State:
        return {"velocity": torch.zeros_like(W)}

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        v = state["velocity"]
        add_scaled_(v.mul_(h.momentum), h.lr, g)  # (1)
        W -= v  # (2)
