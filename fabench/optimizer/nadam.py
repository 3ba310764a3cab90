"""Nadam: Adam with Nesterov's look-ahead.

    m <- beta1 m + (1 - beta1) g                                     (1)
    v <- beta2 v + (1 - beta2) g^2                                   (2)
    v_hat = v / (1 - beta2^t)                                        (3)

    momentum_schedule=constant:
    n = (beta1 m + (1 - beta1) g) / (1 - beta1^t)                    (4)

    momentum_schedule=dozat:
    mu_i = beta1 (1 - 0.96^(i / 250) / 2)                            (5)
    M_t  = mu_1 mu_2 ... mu_t                                        (6)
    n = mu_{t+1} m / (1 - M_{t+1}) + (1 - mu_t) g / (1 - M_t)        (7)

    W <- W - lr n / (sqrt(v_hat) + epsilon)                          (8)

lr: learning rate; g: the batch-mean gradient; m, v: its first and second moment, shaped like W,
0 at the start; n: the first moment one step ahead; beta1, beta2: decay constants; mu: a momentum
that grows from beta1 / 2 to beta1 over some thousand steps; t: the step's number, from 1;
epsilon: smoothing constant.

Reference: T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR 2016 workshop. As (4):
S. Ruder, "An overview of gradient descent optimization algorithms", 2016, arXiv:1609.04747,
section 4.8.

Differences from torch.optim.NAdam
1. The default is (4), the form of the survey on which the thesis rests: it differs from Adam in
   the look-ahead alone. torch has (7), which also warms the momentum up.
2. The schedule's constants, 0.96 and 1/250, are fixed; torch lets the second be chosen.
Differences from Dozat's paper
1. (1) decays m by beta1, as in torch; the paper decays it by mu_t.
2. (4) divides m by 1 - beta1^t as the survey does; (7) at a constant mu divides it by
   1 - beta1^(t+1).
"""

import math
from types import SimpleNamespace
from typing import Any, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_ratio_, bias_corrections
from fabench.schema import STRICT, Fraction, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class Nadam(Optimizer):
    name: str
    lr: Rate
    beta1: Fraction
    beta2: Fraction
    epsilon: NonNegative
    momentum_schedule: Literal["constant", "dozat"]

    def initial_state(self, W: Tensor) -> State:
        return {"first_moment": torch.zeros_like(W), "second_moment": torch.zeros_like(W)}

    def at_step(self, t: int | Tensor, h: SimpleNamespace) -> SimpleNamespace:
        h = bias_corrections(t, h)
        if self.momentum_schedule == "dozat":
            mu, mu_next = h.beta1 * _warm_up(t), h.beta1 * _warm_up(t + 1)  # (5)
            M, M_next = _product(h.beta1, t), _product(h.beta1, t + 1)  # (6)
            h.part_of_m, h.part_of_g = mu_next / (1 - M_next), (1 - mu) / (1 - M)
        return h

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        m, v = state["first_moment"], state["second_moment"]
        m.lerp_(g, 1 - h.beta1)  # (1)
        v.lerp_(g.square(), 1 - h.beta2)  # (2)
        root = v.sqrt().add_(h.epsilon * h.of_root)  # (3): sqrt(v_hat) + epsilon, times of_root
        scale = -h.lr * h.of_root
        if self.momentum_schedule == "constant":
            n = torch.lerp(m, g, 1 - h.beta1)  # (4)
            scale = scale / h.of_m
        else:
            n = h.part_of_m * m + h.part_of_g * g  # (7)
        add_ratio_(W, scale, n, root)  # (8)


def _warm_up(i: int | Tensor) -> Any:
    return 1 - 0.96 ** (i / 250) / 2


def _product(beta1: float | Tensor, t: int | Tensor) -> Any:
    """mu_1 ... mu_t. A hundred factors suffice: they are below 1e-29, and 1 minus them is 1."""
    if isinstance(t, Tensor):
        i = torch.arange(1, 101, device=t.device)
        return beta1**t * torch.where(i <= t, _warm_up(i), 1).prod()
    return beta1**t * math.prod(_warm_up(i) for i in range(1, min(t, 100) + 1))
