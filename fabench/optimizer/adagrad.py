"""Adagrad: a learning rate per weight that shrinks with all the gradients seen so far.

    G <- G + g^2                                                     (1)
    W <- W - lr g / sqrt(G + epsilon)       epsilon_place=inside     (2)
    W <- W - lr g / (sqrt(G) + epsilon)     epsilon_place=outside    (3)

lr: learning rate; g: the batch-mean gradient; G: the sum of its squares, shaped like W, 0 at the
start; epsilon: smoothing constant.

Reference: J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and
stochastic optimization", JMLR 12, 2011. As (2): S. Ruder, "An overview of gradient descent
optimization algorithms", 2016, arXiv:1609.04747, section 4.3.

Differences from torch.optim.Adagrad
1. The default is (2), the thesis's: its tuned learning rates belong to it. torch has (3).
   With epsilon 1e-8, (2) damps the step where sqrt(G) is below 1e-4, (3) where it is below 1e-8.
2. No learning-rate decay and no initial value of G (torch's defaults are 0 too).
3. epsilon is 1e-8 as in the thesis; torch's default is 1e-10.
"""

from types import SimpleNamespace
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_ratio_
from fabench.schema import STRICT, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class Adagrad(Optimizer):
    name: str
    lr: Rate
    epsilon: NonNegative
    epsilon_place: Literal["inside", "outside"]

    def initial_state(self, W: Tensor) -> State:
        return {"sum_of_squares": torch.zeros_like(W)}

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        G = state["sum_of_squares"]
        G.addcmul_(g, g)  # (1)
        add_ratio_(W, -h.lr, g, self.root(G, h))  # (2), (3)

    def root(self, G: Tensor, h: SimpleNamespace) -> Tensor:
        """What lr g is divided by [R, I, O]."""
        if self.epsilon_place == "inside":
            return (G + h.epsilon).sqrt_()  # (2)
        return G.sqrt().add_(h.epsilon)  # (3)
