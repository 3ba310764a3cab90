"""Equilibrium propagation: a network settles freely, then with its outputs nudged to the target.

    E = sum_k (G_k(s_k) - b_k s_k^T - s_{k-1} W_k s_k^T),  s_0 = x   (1)
    C = |s_L - y|^2 / 2,  s_L = g(u)                                 (2)
    s_k <- s_k + dt (f(s_{k-1} W_k + b_k + s_{k+1} W_{k+1}^T) - s_k) (3)
    u <- u + dt (s_{L-1} W_L + b_L - beta (s_L - y) - u)             (4)
    dW_k = (s_{k-1}^0^T s_k^0 - s_{k-1}^beta^T s_k^beta) / beta      (5)
    db_k = (s_k^0 - s_k^beta) / beta                                 (6)

s_k [B, n_k]: the activity of layer k = 1, ..., L; f: a hidden layer's activation; g: what the
output predicts (its sigmoid, its softmax, or itself); G_k' = f^-1, of the last layer g^-1; y:
targets [B, C]; dW, db: what the optimizer descends, batch means. Where (3) and (4) rest, E + beta C
is stationary. ``steps`` of them with beta = 0, all layers at once, lead from the forward pass to
the free state s^0, whose u is the network's answer, ``nudged_steps`` from there to s^beta. As beta
goes to 0, (5) goes to the gradient of the free state's C.

``nudging=random``: the sign of beta is drawn in every step, so that what is of second order in beta
cancels on average; ``symmetric``: the network is nudged both ways, from s^0 each time, and s^-beta
stands in (5) and (6) for s^0, 2 beta for beta, so that it cancels always.

References: B. Scellier, Y. Bengio, "Equilibrium propagation: bridging the gap between energy-based
models and backpropagation", 2017, arXiv:1602.05179; M. Ernoult, J. Grollier, D. Querlioz,
Y. Bengio, B. Scellier, "Updates of equilibrium prop match gradients of backprop through time in an
RNN with static input", 2019, arXiv:1905.13633, for (3); A. Laborieux et al., "Scaling equilibrium
propagation to deep convnets by drastically reducing its gradient estimator bias", 2021,
arXiv:2006.03824, for ``symmetric``.

Differences from the papers:
1. What is descended is C, the task's loss where that is a squared error; with a cross-entropy the
   squared error of what the output predicts.
2. Units have the model's activations and g; the paper's are clipped to [0, 1]. Energies of bounded
   ones are bounded: ReLUs or linear outputs may run away where weights are large.
3. Every batch starts from the forward pass; Scellier and Bengio keep each example's last state.
4. All layers have one learning rate.
5. (5) divides small differences of states by beta, and bf16 rounds what makes the states: a small
   ``beta`` wants ``trainer.precision=fp32``.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import NoisyRule, sent_down
from fabench.learning_rule.base.settling import (
    SettlingRule,
    States,
    arriving,
    feedforward,
    hebbian_difference,
    moved,
)
from fabench.model.layer.kernel import at_full
from fabench.model.layer.network import Outer
from fabench.schema import STRICT, Count, Rate


@dataclass(frozen=True, config=STRICT)
class EquilibriumPropagation(SettlingRule, NoisyRule):
    name: str
    beta: Rate
    nudging: Literal["random", "symmetric"]
    dt: Annotated[float, Field(gt=0, le=1)]
    steps: Count
    nudged_steps: Count

    def relax(
        self, part: Part, drive: Tensor, states: States | None = None, target: Tensor | None = None
    ) -> States:
        beta = 0.0 if target is None else self.nudge(part)
        return self.nudged(part, drive, states, target, beta)

    def pair(self, part: Part, drive: Tensor, free: States, y: Tensor) -> tuple[States, States]:
        plus = self.relax(part, drive, free, y)
        if self.nudging == "random":
            return free, plus
        return self.nudged(part, drive, free, y, -self.beta), plus

    def contrast(
        self, part: Part, x: Tensor, minus: States, plus: States
    ) -> dict[int, tuple[Outer, Tensor]]:
        minus, plus = ([*s[:-1], part.prediction(s[-1])] for s in (minus, plus))  # (2)
        scale = self.nudge(part) if self.nudging == "random" else 2 * self.beta
        return {
            k: hebbian_difference(part, k, x, minus, plus, scale)  # (5), (6)
            for k in range(len(plus))
        }

    def nudge(self, part: Part) -> float | Tensor:
        """This step's beta, with its sign [R, 1, 1]."""
        if self.nudging == "symmetric":
            return self.beta
        return self.beta * at_full(part.noise("sign of the nudge", (1, 1)).sign())

    def nudged(
        self,
        part: Part,
        drive: Tensor,
        states: States | None,
        target: Tensor | None,
        beta: float | Tensor,
    ) -> States:
        """The state after ``nudged_steps`` by beta to the target, or after ``steps`` without."""

        def feedback(k: int, s: Tensor) -> Tensor:
            return sent_down(part, k, s)

        *hidden, u = states or feedforward(part, drive)
        for _ in range(self.steps if target is None else self.nudged_steps):
            s = [*hidden, part.prediction(u)]  # (2)
            goal = arriving(part, drive, s, len(hidden))
            if target is not None:
                goal = goal - beta * (s[-1] - target)
            hidden, u = moved(part, drive, s, self.dt, feedback), torch.lerp(u, goal, self.dt)
        return [*hidden, u]  # (3), (4)
