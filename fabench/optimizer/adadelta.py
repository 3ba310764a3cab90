"""Adadelta: steps in units of the weights, the ratio of two running root mean squares.

    A <- rho A + (1 - rho) g^2                                       (1)
    d  = sqrt(D + epsilon) / sqrt(A + epsilon) g                     (2)
    W <- W - lr d                                                    (3)
    D <- rho D + (1 - rho) d^2          accumulates=update           (4)
    D <- rho D + (1 - rho) (lr d)^2     accumulates=scaled_update    (5)

rho: decay constant; lr: learning rate; g: the batch-mean gradient; A, D: running mean squares of g
and of the update (E[g^2] and E[dtheta^2] in the paper), shaped like W, 0 at the start; epsilon:
smoothing constant, which also sets the size of the first steps, since D starts at 0.

Reference: M. D. Zeiler, "ADADELTA: an adaptive learning rate method", 2012, arXiv:1212.5701,
Algorithm 1.

Differences from the paper
1. The factor lr in (3); the paper has none (lr = 1). The thesis and torch have it.
Differences from the thesis
1. The default is (4): the paper's, torch's, and by its text the thesis's. The thesis author's code
   has (5), with which lr also acts on every later step through D; lr = 1 makes them equal.
Differences from torch.optim.Adadelta
1. rho 0.9 and epsilon 1e-8 are the thesis's; torch's defaults are 0.9 and 1e-6.
"""

from types import SimpleNamespace
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_product_
from fabench.schema import STRICT, Fraction, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class Adadelta(Optimizer):
    name: str
    lr: Rate
    rho: Fraction
    epsilon: NonNegative
    accumulates: Literal["update", "scaled_update"]

    def initial_state(self, W: Tensor) -> State:
        return {
            "mean_square_gradient": torch.zeros_like(W),
            "mean_square_update": torch.zeros_like(W),
        }

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        A, D = state["mean_square_gradient"], state["mean_square_update"]
        squares = g.square()
        A.lerp_(squares, 1 - h.rho)  # (1)
        ratio = (D + h.epsilon).div_(A + h.epsilon)
        squares *= ratio  # d^2
        if self.accumulates == "scaled_update":
            squares *= h.lr**2  # (5)
        D.lerp_(squares, 1 - h.rho)  # (4), (5)
        add_product_(W, -h.lr, ratio.sqrt_(), g)  # (2), (3)
