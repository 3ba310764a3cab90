"""AMSGrad: Adam that never forgets its largest second moment.

    m <- beta1 m + (1 - beta1) g                                     (1)
    v <- beta2 v + (1 - beta2) g^2                                   (2)
    V <- max(V, v)                                                   (3)

    bias_correction=true:
    m_hat = m / (1 - beta1^t)                                        (4)
    V_hat = V / (1 - beta2^t)                                        (5)

    bias_correction=false:
    m_hat = m,  V_hat = V                                            (6)

    W <- W - lr m_hat / (sqrt(V_hat) + epsilon)                      (7)

lr: learning rate; g: the batch-mean gradient; m, v: its first and second moment, and V: the
largest v so far, shaped like W, 0 at the start; beta1, beta2: decay constants; t: the step's
number, from 1; epsilon: smoothing constant.

Reference: S. J. Reddi, S. Kale, S. Kumar, "On the convergence of Adam and beyond", ICLR 2018,
arXiv:1904.09237, Algorithm 2.

Differences from the paper
1. The default corrects the bias, so that AMSGrad differs from Adam in (3) alone. The paper leaves
   the correction out for simplicity (bias_correction=false), and its first steps are then about
   (1 - beta1) / sqrt(1 - beta2) = 3 times Adam's.
2. epsilon in (7), as in Adam.
Differences from torch.optim.Adam(amsgrad=True): none with bias_correction=true. As there, the
maximum is taken before the correction.
"""

from types import SimpleNamespace

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_ratio_, bias_corrections
from fabench.schema import STRICT, Fraction, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class Amsgrad(Optimizer):
    name: str
    lr: Rate
    beta1: Fraction
    beta2: Fraction
    epsilon: NonNegative
    bias_correction: bool

    def initial_state(self, W: Tensor) -> State:
        return {
            "first_moment": torch.zeros_like(W),
            "second_moment": torch.zeros_like(W),
            "largest_second_moment": torch.zeros_like(W),
        }

    def at_step(self, t: int | Tensor, h: SimpleNamespace) -> SimpleNamespace:
        if self.bias_correction:
            return bias_corrections(t, h)
        return SimpleNamespace(**vars(h), of_m=1.0, of_root=1.0)  # (6)

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        m, v, V = state["first_moment"], state["second_moment"], state["largest_second_moment"]
        m.lerp_(g, 1 - h.beta1)  # (1)
        v.lerp_(g.square(), 1 - h.beta2)  # (2)
        torch.maximum(V, v, out=V)  # (3)
        root = V.sqrt().add_(h.epsilon * h.of_root)  # (5): sqrt(V_hat) + epsilon, times of_root
        add_ratio_(W, -h.lr * h.of_root / h.of_m, m, root)  # (4), (7)
