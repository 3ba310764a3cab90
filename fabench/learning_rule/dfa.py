"""Direct feedback alignment (DFA): a fixed matrix of its own brings every layer the error.

    delta_L = e                                                      (1)
    delta_l = (e B_l) ⊙ f'(a_l)                                      (2)

e: dloss/da_L [B, C]; B_l: fixed feedback matrix of layer l [C, n_l].

Weight alignment, with W_{l+1} [n_l, n_{l+1}]:
    last hidden layer   cos(B_{L-1}, W_L^T)                          (3)
    below               cos(B_l^T B_{l+1}, W_{l+1}), layer l+1 dense  (4)

References: A. Nøkland, "Direct feedback alignment provides learning in deep neural networks",
2016, arXiv:1609.01596, equation 7; M. Refinetti, S. d'Ascoli, R. Ohana, S. Goldt, "Align, then
memorise", 2021, arXiv:2011.12428, section 3 for (3) and (4).

Differences from the papers:
1. Gradients are batch means; Nøkland's code sums over the batch.
"""

from functools import reduce

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base import FeedbackRule, Signals, dense_only
from fabench.network import ForwardPass, Layer
from fabench.schema import STRICT


def downstream(W: list[Tensor], layer: int) -> Tensor:
    """(W_{l+1} ... W_L)^T [R, C, n_l]: the linear path from a hidden layer to the output, back."""
    return reduce(Tensor.matmul, W[layer + 1 :]).mT


@dataclass(frozen=True, config=STRICT)
class Dfa(FeedbackRule):
    name: str

    def feedback_shapes(self, layers: tuple[Layer, ...]) -> list[tuple[int, int]]:
        return [(layers[-1].units, layer.units) for layer in layers[:-1]]

    def transported(self, W: list[Tensor]) -> list[Tensor]:
        return [downstream(W, layer) for layer in range(len(W) - 1)]

    def transport_refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return dense_only(layers)

    def teaching_signals(
        self, e: Tensor, forward: ForwardPass, W: list[Tensor], B: list[Tensor]
    ) -> Signals:
        hidden = [(e @ b) * forward.derivative(layer) for layer, b in enumerate(B)]  # (2)
        return [*hidden, e]  # (1)

    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        inner = [(B[i].mT @ B[i + 1], W[i + 1]) for i in range(len(B) - 1)]  # (4)
        dense = [pair if pair[0].shape == pair[1].shape else None for pair in inner]
        return [*dense, (B[-1], W[-1].mT)]  # (3)
