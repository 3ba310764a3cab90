"""Indirect feedback alignment (IFA): the error enters at the first layer and travels forward.

    delta_1 = (e B_1) ⊙ f'(a_1)                                      (1)
    delta_l = (delta_{l-1} W_l) ⊙ f'(a_l),   1 < l < L               (2)
    delta_L = e                                                      (3)

e: dloss/da_L [B, C]; B_1: fixed feedback matrix [C, n_1]; W_l: forward weights [n_{l-1}, n_l].
With one hidden layer it is DFA.

Reference: A. Nøkland, "Direct feedback alignment provides learning in deep neural networks", 2016,
arXiv:1609.01596, equation 8 and figure 1.

Differences from the paper:
1. The weight alignment that is logged is cos(B_1, (W_2 ... W_L)^T): the paper reports none.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import FeedbackRule, direct, downstream
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signal import Signals, chain_only
from fabench.model.layer.network import ForwardPass, Layer
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Ifa(FeedbackRule):
    name: str

    def feedback_shapes(self, layers: tuple[Layer, ...]) -> list[tuple[int, int]]:
        return [(layers[-1].units, layer.units) for layer in layers[:-1][:1]]

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return chain_only(layers)

    def transported(self, W: list[Tensor]) -> list[Tensor]:
        return [downstream(W, 0)] if len(W) > 1 else []

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        W, last = part.operands("W"), len(part.layers) - 1
        deltas = direct(e, forward, part.operands("B"))  # (1)
        for layer in range(1, last):
            deltas[layer] = forward.pull(layer, deltas[layer - 1] @ W[layer])  # (2)
        return deltas | {last: e}  # (3)

    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        return [(b, downstream(W, 0)) for b in B]
