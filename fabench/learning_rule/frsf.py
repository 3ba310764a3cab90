"""Fixed random-magnitude sign-concordant feedback (frSF).

    delta_L = e                                                      (1)
    delta_l = (delta_{l+1} V_{l+1}) ⊙ f'(a_l)                        (2)
    V_{l+1} = |B_{l+1}| ⊙ sign(W_{l+1}^T)                            (3)

e: dloss/da_L [B, C]; V_{l+1}: feedback [n_{l+1}, n_l]; B_{l+1}: drawn once. Signs follow the
weights while they learn, magnitudes do not.

Reference: Q. Liao, J. Leibo, T. Poggio, "How important is weight symmetry in backpropagation?",
AAAI 2016, arXiv:1510.05067.

Differences from the paper:
1. Neither batch normalization nor "batch Manhattan" updates; magnitudes come from ``init_of_B``.
2. The weight alignment that is logged is cos(V_{l+1}, W_{l+1}^T): the paper reports none.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base import Signals
from fabench.learning_rule.fa import Fa
from fabench.learning_rule.usf import concordant
from fabench.network import ForwardPass
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Frsf(Fa):
    name: str

    def teaching_signals(
        self, e: Tensor, forward: ForwardPass, W: list[Tensor], B: list[Tensor]
    ) -> Signals:
        V = concordant([b.abs() for b in B], W)  # (3)
        return super().teaching_signals(e, forward, W, V)  # (1), (2)

    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        return super().alignment_pairs(W, concordant([b.abs() for b in B], W))
