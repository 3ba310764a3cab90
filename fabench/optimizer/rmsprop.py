"""RMSprop: the gradient divided by its running root mean square.

    A <- rho A + (1 - rho) g^2                                       (1)
    W <- W - lr g / sqrt(A + epsilon)       epsilon_place=inside     (2)
    W <- W - lr g / (sqrt(A) + epsilon)     epsilon_place=outside    (3)

rho: decay constant; lr: learning rate; g: the batch-mean gradient; A: the running mean of its
square (E[g^2] in the survey), shaped like W, 0 at the start; epsilon: smoothing constant.

Reference: T. Tieleman, G. Hinton, "Neural networks for machine learning", Coursera, 2012, lecture
6e. As (2): S. Ruder, "An overview of gradient descent optimization algorithms", 2016,
arXiv:1609.04747, section 4.5.

Differences from torch.optim.RMSprop
1. The default is (2), the thesis's: its tuned learning rates belong to it. torch has (3).
   With epsilon 1e-8, (2) damps the step where sqrt(A) is below 1e-4, (3) where it is below 1e-8.
2. No momentum and no centring (torch's defaults are without, too).
3. rho is 0.9 as in the thesis; torch's default (alpha) is 0.99.
"""

from types import SimpleNamespace
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_ratio_
from fabench.schema import STRICT, Fraction, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class Rmsprop(Optimizer):
    name: str
    lr: Rate
    rho: Fraction
    epsilon: NonNegative
    epsilon_place: Literal["inside", "outside"]

    def initial_state(self, W: Tensor) -> State:
        return {"mean_square": torch.zeros_like(W)}

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        A = state["mean_square"]
        A.lerp_(g.square(), 1 - h.rho)  # (1)
        if self.epsilon_place == "inside":
            root = (A + h.epsilon).sqrt_()  # (2)
        else:
            root = A.sqrt().add_(h.epsilon)  # (3)
        add_ratio_(W, -h.lr, g, root)  # (2), (3)
