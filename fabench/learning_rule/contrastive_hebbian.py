"""Contrastive Hebbian learning: a network with feedback settles, freely and with outputs clamped.

    s_k = f(s_{k-1} W_k + b_k + γ s_{k+1} W_{k+1}^T),  s_0 = x       (1)
    a_L = s_{L-1} W_L + b_L;  s_L = g(a_L), or y where it is clamped (2)
    s_k <- s_k + dt (f(...) - s_k),  a_L likewise                    (3)
    dW_k = γ^{k-L} (s^-_{k-1}^T s^-_k - s^+_{k-1}^T s^+_k)           (4)
    db_k = γ^{k-L} (s^-_k - s^+_k)                                   (5)

s_k [B, n_k]: the activity of layer k = 1, ..., L; f: its activation; g: what the output predicts
(its sigmoid, its softmax, or itself); y: targets [B, C]; dW, db: what the optimizer descends, batch
means. ``steps`` times (3), all layers at once, lead from the forward pass to the free state s^-,
whose a_L is the network's answer, and on to the clamped one, s^+. With ``gamma`` = 1 the network is
Movellan's symmetric one; as γ goes to 0, as Xie and Seung have it, (4) goes to backpropagation's
gradient.

References: J. R. Movellan, "Contrastive Hebbian learning in the continuous Hopfield model",
Connectionist Models, 1991. X. Xie, H. S. Seung, "Equivalence of backpropagation and contrastive
Hebbian learning in a layered network", Neural Computation 15(2), 2003.

Differences from the papers:
1. The output predicts as ``task.loss`` says. Clamping knows no g', so (4) goes to the gradient of
   the cross-entropy where the loss is the squared error of sigmoids, too.
2. In Movellan's network inputs of units relax, here their activities, as in Xie and Seung's.
3. (4) is computed from means and differences of the two states, which are float32: it divides
   differences by γ^{L-k}. Smaller γ and deeper networks want ``trainer.precision=fp32``.
"""

from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.settling import SettlingRule, States, sent_down, sent_up
from fabench.learning_rule.base.signal import chain_only
from fabench.model.layer.network import ACTIVATIONS, Layer, Outer
from fabench.schema import STRICT, Count, Rate


@dataclass(frozen=True, config=STRICT)
class ContrastiveHebbian(SettlingRule):
    name: str
    gamma: Rate
    dt: Annotated[float, Field(gt=0, le=1)]
    steps: Count

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        if any(layer.input_dropout for layer in layers):
            return "is not defined for dropout"
        return chain_only(layers)

    def relax(
        self, part: Part, drive: Tensor, states: States | None = None, target: Tensor | None = None
    ) -> States:
        *hidden, output = states or feedforward(part, drive)
        for _ in range(self.steps):
            s = [*hidden, part.prediction(output) if target is None else target]  # (2)
            for k in range(len(hidden)):
                below = sent_up(part, k, s[k - 1]) if k else drive
                above = sent_down(part, k + 1, self.gamma * s[k + 1])
                goal = activity(part, k, at_full(below) + above)  # (1)
                hidden[k] = s[k] + self.dt * (goal - s[k])  # (3)
            if target is None:
                a = sent_up(part, len(hidden), s[-2]) if hidden else drive
                output = output + self.dt * (a - output)
        return [*hidden, output if target is None else target]

    def contrast(
        self, part: Part, x: Tensor, free: States, driven: States
    ) -> dict[int, tuple[Outer, Tensor]]:
        minus, plus, size = [*free[:-1], part.prediction(free[-1])], driven, x.shape[1]
        differences = [s - t for s, t in zip(minus, plus, strict=True)]
        means = [(s + t) / 2 for s, t in zip(minus, plus, strict=True)]
        found = {}
        for k, layer in enumerate(part.layers):
            scale = self.gamma ** (len(plus) - 1 - k)
            d, h = differences[k] / scale, x  # x is in both phases
            delta = d
            if k:  # s^- s^- - s^+ s^+ = mean difference + difference mean
                h = torch.cat([means[k - 1], differences[k - 1] / scale], 1)
                delta = torch.cat([d, means[k]], 1)
            outer = Outer(layer, part.as_operand(h), part.as_operand(delta), size)  # (4)
            found[k] = outer, d.mean(1, keepdim=True)  # (5)
        return found


def feedforward(part: Part, drive: Tensor) -> States:
    """The states without feedback, given what arrives at the first layer [R, B, units]."""
    states = [at_full(drive)]
    for k in range(1, len(part.layers)):
        states[-1] = activity(part, k - 1, states[-1])
        states.append(at_full(sent_up(part, k, states[-1])))
    return states


def activity(part: Part, layer: int, a: Tensor) -> Tensor:
    """f(a) [R, B, units] of a hidden layer."""
    return ACTIVATIONS[part.layers[layer].activation].f(a)


def at_full(a: Tensor) -> Tensor:
    """What a product has given, in float32 where it is less."""
    return a.float() if a.dtype == torch.bfloat16 else a
