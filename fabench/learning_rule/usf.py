"""Uniform sign-concordant feedback (uSF): the signs of the transposed weights, one magnitude.

    delta_L = e                                                      (1)
    delta_l = (delta_{l+1} V_{l+1}) ⊙ f'(a_l)                        (2)
    V_{l+1} = s_{l+1} sign(W_{l+1}^T)                                (3)

e: dloss/da_L [B, C]; V_{l+1}: feedback [n_{l+1}, n_l]; s_{l+1}: root mean square of B_{l+1}, the
matrix that feedback alignment would use. With the default ``init_of_B`` that is the standard
deviation of the initial weights.

Reference: Q. Liao, J. Leibo, T. Poggio, "How important is weight symmetry in backpropagation?",
AAAI 2016, arXiv:1510.05067.

Differences from the paper:
1. The paper's s is 1, and batch normalization or "batch Manhattan" updates take care of the scale.
   Here it is that of the initial weights, so that plain descent works too.
2. The weight alignment that is logged is cos(V_{l+1}, W_{l+1}^T): the paper reports none.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base import Signals
from fabench.learning_rule.fa import Fa
from fabench.network import ForwardPass
from fabench.schema import STRICT


def concordant(magnitudes: list[Tensor], W: list[Tensor]) -> list[Tensor]:
    """Feedback with given magnitudes and the signs of the transposed weights."""
    return [m * w.mT.sign() for m, w in zip(magnitudes, W[1:], strict=True)]


def root_mean_square(b: Tensor) -> Tensor:
    """Of a matrix's elements, [R, 1, 1]."""
    return b.square().mean((1, 2), keepdim=True).sqrt()


@dataclass(frozen=True, config=STRICT)
class Usf(Fa):
    name: str

    def teaching_signals(
        self, e: Tensor, forward: ForwardPass, W: list[Tensor], B: list[Tensor]
    ) -> Signals:
        V = concordant([root_mean_square(b) for b in B], W)  # (3)
        return super().teaching_signals(e, forward, W, V)  # (1), (2)

    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        return super().alignment_pairs(W, concordant([root_mean_square(b) for b in B], W))
