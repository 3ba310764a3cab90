"""Batchwise random-magnitude sign-concordant feedback (brSF): magnitudes are redrawn every batch.

    delta_L = e                                                      (1)
    delta_l = (delta_{l+1} V_{l+1}) ⊙ f'(a_l)                        (2)
    V_{l+1} = s_{l+1} |M| ⊙ sign(W_{l+1}^T),  M ~ N(0, 1)            (3)

e: dloss/da_L [B, C]; V_{l+1}: feedback [n_{l+1}, n_l]; M: drawn for every batch; s_{l+1}: root mean
square of B_{l+1}, the matrix that feedback alignment would use.

Reference: Q. Liao, J. Leibo, T. Poggio, "How important is weight symmetry in backpropagation?",
AAAI 2016, arXiv:1510.05067.

Differences from the paper:
1. Neither batch normalization nor "batch Manhattan" updates; the scale comes from ``init_of_B``.
2. Magnitudes are half-normal, whatever the distribution of ``init_of_B``.
3. The weight alignment that is logged is that of the mean over M, s_{l+1} sign(W_{l+1}^T) up to a
   factor: uSF's. The paper reports none.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import LayerwiseFeedback, standing_in
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import NoisyRule
from fabench.learning_rule.base.signs import concordant, root_mean_squares
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Brsf(LayerwiseFeedback, NoisyRule):
    name: str

    def backward(self, part: Part) -> list[Tensor]:
        B = part.operands("B")
        M = [part.noise(f"magnitudes {i}", tuple(b.shape[1:])) for i, b in enumerate(B)]
        magnitudes = [s * m.abs() for s, m in zip(root_mean_squares(B), M, strict=True)]
        return concordant(magnitudes, part.operands("W"))  # (3)

    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        return standing_in(concordant(root_mean_squares(B), W), W)
