"""Adam: momentum divided by a running root mean square, both corrected for their start at 0.

    m <- beta1 m + (1 - beta1) g                                     (1)
    v <- beta2 v + (1 - beta2) g^2                                   (2)
    m_hat = m / (1 - beta1^t)                                        (3)
    v_hat = v / (1 - beta2^t)                                        (4)
    W <- W - lr m_hat / (sqrt(v_hat) + epsilon)                      (5)

lr: learning rate; g: the batch-mean gradient; m, v: its first and second moment, shaped like W,
0 at the start; beta1, beta2: decay constants; t: the step's number, from 1, or, with
``bias_correction=epoch``, the epoch's; epsilon: smoothing constant.

Reference: D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015,
arXiv:1412.6980, Algorithm 1.

Differences from torch.optim.Adam: none (epsilon is outside the square root in both).
Differences from the thesis
1. Its text is as above. Its author's code puts the epoch's number for t in (3) and (4), which is
   ``bias_correction=epoch``: the step is then sqrt(1 - beta2^epoch) / (1 - beta1^epoch) of Adam's
   once m and v have filled up, 3 to 7 times too small from the second epoch to the 20th. A learning
   rate tuned with it (the thesis's for Adam) is a starting point for the default.
"""

from types import SimpleNamespace
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_adams_step_, bias_corrections
from fabench.schema import STRICT, Fraction, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class Adam(Optimizer):
    name: str
    lr: Rate
    beta1: Fraction
    beta2: Fraction
    epsilon: NonNegative
    bias_correction: Literal["step", "epoch"] = "step"

    def initial_state(self, W: Tensor) -> State:
        return {"first_moment": torch.zeros_like(W), "second_moment": torch.zeros_like(W)}

    @property
    def counts_epochs(self) -> bool:
        return self.bias_correction == "epoch"

    def at_step(self, t: int | Tensor, h: SimpleNamespace) -> SimpleNamespace:
        return bias_corrections(t, h)

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        add_adams_step_(W, g, state, h)  # (1) to (5)
