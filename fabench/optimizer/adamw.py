"""AdamW: Adam with weight decay beside the gradient instead of in it.

    m <- beta1 m + (1 - beta1) g                                     (1)
    v <- beta2 v + (1 - beta2) g^2                                   (2)
    m_hat = m / (1 - beta1^t),  v_hat = v / (1 - beta2^t)            (3)
    W <- W - lr (m_hat / (sqrt(v_hat) + epsilon) + w W)              (4)

lr: learning rate; g: the batch-mean gradient; m, v: its first and second moment, shaped like W, 0
at the start; beta1, beta2: decay constants; t: the step's number, from 1; epsilon: smoothing
constant; w: ``decoupled_weight_decay``. ``trainer.weight_decay`` is the other kind, which is a part
of g.

Reference: I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019,
arXiv:1711.05101, Algorithm 2.

Differences from the paper: w is multiplied by lr, as in torch.
Differences from torch.optim.AdamW: none. All that learns decays, biases too.
"""

from types import SimpleNamespace

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_adams_step_, bias_corrections
from fabench.schema import STRICT, Fraction, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class Adamw(Optimizer):
    name: str
    lr: Rate
    beta1: Fraction
    beta2: Fraction
    epsilon: NonNegative
    decoupled_weight_decay: NonNegative

    def initial_state(self, W: Tensor) -> State:
        return {"first_moment": torch.zeros_like(W), "second_moment": torch.zeros_like(W)}

    def at_step(self, t: int | Tensor, h: SimpleNamespace) -> SimpleNamespace:
        return bias_corrections(t, h)

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        W *= 1 - h.lr * h.decoupled_weight_decay
        add_adams_step_(W, g, state, h)  # with the line above, (1) to (4)
