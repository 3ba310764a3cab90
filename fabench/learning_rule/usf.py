"""Uniform sign-concordant feedback (uSF): the signs of the transposed weights, one magnitude.

    delta_L = e                                                      (1)
    delta_l = (delta_{l+1} V_{l+1}) ⊙ f'(a_l)                        (2)
    V_{l+1} = s_{l+1} sign(W_{l+1}^T)                                (3)

e: dloss/da_L [B, C]; V_{l+1}: feedback [n_{l+1}, n_l]; s_{l+1}: root mean square of B_{l+1}, the
matrix that feedback alignment would use. With the defaults of ``init_of_B`` and the model's weights
that is the standard deviation of the initial weights.

Reference: Q. Liao, J. Leibo, T. Poggio, "How important is weight symmetry in backpropagation?",
AAAI 2016, arXiv:1510.05067.

Differences from the paper:
1. The paper's s is 1, and batch normalization or "batch Manhattan" updates take care of the scale.
   Here it is that of the initial weights, by default, so that plain descent works too.
2. The weight alignment that is logged is cos(V_{l+1}, W_{l+1}^T): the paper reports none.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import LayerwiseFeedback, standing_in
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signs import concordant, root_mean_squares
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Usf(LayerwiseFeedback):
    name: str

    def backward(self, part: Part) -> list[Tensor]:
        return concordant(root_mean_squares(part.operands("B")), part.operands("W"))  # (3)

    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        return standing_in(concordant(root_mean_squares(B), W), W)
