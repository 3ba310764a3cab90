"""Nesterov's accelerated gradient: momentum whose gradient is taken one step ahead.

The thesis and the survey keep theta and ask for the gradient at the look-ahead point:

    v_t     = gamma v_{t-1} + lr grad J(theta_t - gamma v_{t-1})     (1)
    theta_{t+1} = theta_t - v_t                                      (2)

A rule here gives g at the weights it is handed, so the weights are the look-ahead point itself,
W_t = theta_t - gamma v_{t-1}. Put into (2), and with gamma v_{t-1} = v_t - lr g from (1):

    v <- gamma v + lr g                                              (3)
    W <- W - lr g - gamma v                                          (4)

since W_{t+1} = theta_{t+1} - gamma v_t = (W_t + gamma v_{t-1}) - v_t - gamma v_t
= W_t - lr g - gamma v_t. At the start v = 0 and W = theta.

gamma (setting ``momentum``): the share of the last step that is kept; lr: learning rate; g: the
batch-mean gradient at W; v: the step, shaped like W.

Reference: S. Ruder, "An overview of gradient descent optimization algorithms", 2016,
arXiv:1609.04747, section 4.2. Change of variable: Y. Bengio, N. Boulanger-Lewandowski,
R. Pascanu, "Advances in optimizing recurrent networks", 2012, arXiv:1212.0901, section 3.5.

Differences from the thesis
1. What is evaluated and stored is W, not theta; theta = W + gamma v. The gradients and the
   sequence of theta are the thesis's.
Differences from torch.optim.SGD(nesterov=True), which stores the same W
1. torch's velocity is v / lr; the weights are the same while lr is constant; where a schedule
   changes it, torch's earlier steps change with it, and ours stay as they were.
"""

from types import SimpleNamespace
from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_scaled_
from fabench.schema import STRICT, Fraction, Rate


@dataclass(frozen=True, config=STRICT)
class Nesterov(Optimizer):
    name: str
    lr: Rate
    momentum: Fraction

    linear: ClassVar[bool] = True

    def initial_state(self, W: Tensor) -> State:
        return {"velocity": torch.zeros_like(W)}

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        v = state["velocity"]
        add_scaled_(v.mul_(h.momentum), h.lr, g)  # (3)
        add_scaled_(W, -h.lr, g)  # (4)
        add_scaled_(W, -h.momentum, v)
