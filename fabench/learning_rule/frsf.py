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

from fabench.learning_rule.base.feedback import LayerwiseFeedback, standing_in
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signs import concordant
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Frsf(LayerwiseFeedback):
    name: str

    def backward(self, part: Part) -> list[Tensor]:
        return concordant([b.abs() for b in part.operands("B")], part.operands("W"))  # (3)

    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        return standing_in(concordant([b.abs() for b in B], W), W)
