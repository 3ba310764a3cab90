"""Forward gradients: the loss's slope along a random direction, found on the way forward.

    da_l = dh_l W_l + h_l V_l + v_l,   dh_1 = 0                      (1)
    dh_{l+1} = da_l ⊙ f'(a_l)                                        (2)
    s = <e, da_L>                                                    (3)
    dW_l = mean(s) V_l,   db_l = mean(s) v_l                         (4)

V_l, v_l ~ N(0, 1), a direction in the space of weights and biases: (1) and (2) say how activities
change along it, forward-mode differentiation; e: dloss/da_L [B, C]; s [B]: the slope of each
example's loss; mean: over the batch. No pass goes backward. The covariance of a direction is the
identity, so that the mean of (4) over directions is the gradient. ``perturbed=activities`` draws
u_l ~ N(0, 1) [B, n_l] for every example instead, which are fewer numbers, for less variance:

    da_l = dh_l W_l + u_l,   u_L = 0                                 (5)
    delta_l = s u_l,   delta_L = e,   dW_l = mean(h_l^T delta_l)     (6)

What descends is the mean of (4) or (6) over ``directions``.

References: A. G. Baydin, B. A. Pearlmutter, D. Syme, F. Wood, P. Torr, "Gradients without
backpropagation", 2022, arXiv:2202.08587; M. Ren, S. Kornblith, R. Liao, G. Hinton, "Scaling forward
gradient with local losses", ICLR 2023, arXiv:2210.03310, for (5) and (6), without its local losses.

Differences from the papers: none known.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import DescentRule, NoisyRule, hidden_noise, teach
from fabench.learning_rule.base.signal import chain_only
from fabench.model.layer.kernel import at_full, product
from fabench.model.layer.network import ForwardPass, Layer
from fabench.model.layer.parameter import learning
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class ForwardGradient(DescentRule, NoisyRule):
    name: str
    perturbed: Literal["weights", "activities"]
    directions: Count

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return chain_only(layers)

    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return part.forward(x).output

    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        passed = part.forward(x, training=True)
        e, numbers = part.error(passed.output, y), range(self.directions)
        if self.perturbed == "weights":
            found = [self.along_weights(part, passed, e, number) for number in numbers]
            for name in found[0]:
                part.descend(name, torch.stack([g[name] for g in found]).mean(0))
            return passed.output
        drawn = [self.at_activities(part, passed, e, number) for number in numbers]
        signals = [torch.stack(each).mean(0) for each in zip(*drawn, strict=True)]
        for layer, delta in enumerate([*signals, e]):
            if part.layers[layer].trained:
                teach(part, layer, passed.outer(layer, part.as_operand(delta)))
        return passed.output

    def along_weights(
        self, part: Part, passed: ForwardPass, e: Tensor, number: int
    ) -> dict[str, Tensor]:
        """(4) of one direction, by parameter."""
        v = {
            name: part.noise(f"direction {number} {name}", part[name].shape[1:])
            for name in learning(part.layers)
        }
        kicks = []
        for layer, h in enumerate(passed.h):
            kick = torch.zeros_like(passed.a[layer])
            if f"W{layer}" in v:
                kick = product(h, v[f"W{layer}"])
            kicks.append(kick + v[f"b{layer}"] if f"b{layer}" in v else kick)
        s = slope(part, passed, e, kicks).mean(1, keepdim=True)
        return {name: s * own for name, own in v.items()}

    def at_activities(
        self, part: Part, passed: ForwardPass, e: Tensor, number: int
    ) -> list[Tensor]:
        """delta_l of every hidden layer, of one direction: (6)."""
        u = hidden_noise(part, f"direction {number}", e.shape[1])
        s = slope(part, passed, e, [*u, torch.zeros_like(e)])
        return [s * own for own in u]


def slope(part: Part, passed: ForwardPass, e: Tensor, kicks: Sequence[Tensor]) -> Tensor:
    """s [R, B, 1], in float32, given what the direction itself changes of every layer's sum."""
    da = kicks[0]
    for layer, kick in enumerate(kicks[1:], 1):
        dh = passed.pull(layer - 1, part.as_operand(da))  # (2)
        da = product(dh, part.operand(f"W{layer}")) + kick  # (1), (5)
    return (at_full(e) * da).sum(2, keepdim=True)  # (3)
