"""AdaMax: Adam with the largest recent gradient in place of the root mean square.

    m <- beta1 m + (1 - beta1) g                                     (1)
    u <- max(beta2 u, |g| + epsilon)                                 (2)
    W <- W - lr / (1 - beta1^t) m / u                                (3)

lr: learning rate; g: the batch-mean gradient; m: its first moment and u: its decaying largest
magnitude (infinity norm), shaped like W, 0 at the start; beta1, beta2: decay constants; t: the
step's number, from 1; epsilon: smoothing constant.

Reference: D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015,
arXiv:1412.6980, Algorithm 2 (section 7.1).

Differences from the paper
1. epsilon in (2), as in torch. The paper has none and divides 0 by 0 where a weight has had no
   gradient yet, such as that of a pixel which is always black; epsilon=0 is the paper's.
Differences from torch.optim.Adamax: none.
"""

from types import SimpleNamespace

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_ratio_, bias_corrections
from fabench.schema import STRICT, Fraction, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class Adamax(Optimizer):
    name: str
    lr: Rate
    beta1: Fraction
    beta2: Fraction
    epsilon: NonNegative

    def initial_state(self, W: Tensor) -> State:
        return {"first_moment": torch.zeros_like(W), "infinity_norm": torch.zeros_like(W)}

    def at_step(self, t: int | Tensor, h: SimpleNamespace) -> SimpleNamespace:
        return bias_corrections(t, h)

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        m, u = state["first_moment"], state["infinity_norm"]
        m.lerp_(g, 1 - h.beta1)  # (1)
        torch.maximum(u.mul_(h.beta2), g.abs().add_(h.epsilon), out=u)  # (2)
        add_ratio_(W, -h.lr / h.of_m, m, u)  # (3)
