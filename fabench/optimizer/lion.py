"""Lion: the sign of a momentum.

    c = beta1 m + (1 - beta1) g                                      (1)
    W <- W - lr (sign(c) + w W)                                      (2)
    m <- beta2 m + (1 - beta2) g                                     (3)

lr: learning rate, the size of every element's step; g: the batch-mean gradient; m: its running
mean, shaped like W, 0 at the start; beta1, beta2: decay constants; w:
``decoupled_weight_decay``. ``trainer.weight_decay`` is another kind, which is a part of g.

Reference: X. Chen, C. Liang, D. Huang et al., "Symbolic discovery of optimization algorithms",
NeurIPS 2023, arXiv:2302.06675, Algorithm 2.

Differences from the paper: none. All that learns decays, biases too.
"""

from types import SimpleNamespace

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_scaled_
from fabench.schema import STRICT, Fraction, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class Lion(Optimizer):
    name: str
    lr: Rate
    beta1: Fraction
    beta2: Fraction
    decoupled_weight_decay: NonNegative

    def initial_state(self, W: Tensor) -> State:
        return {"momentum": torch.zeros_like(W)}

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        m = state["momentum"]
        step = m.lerp(g, 1 - h.beta1).sign_()  # (1)
        W *= 1 - h.lr * h.decoupled_weight_decay
        add_scaled_(W, -h.lr, step)  # (2)
        m.lerp_(g, 1 - h.beta2)  # (3)
