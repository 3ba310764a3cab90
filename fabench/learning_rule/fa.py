"""Feedback alignment (FA): backpropagation with fixed random matrices for the transposed weights.

    delta_L = e                                                      (1)
    delta_l = (delta_{l+1} B_{l+1}) ⊙ f'(a_l)                        (2)

e: dloss/da_L [B, C]; B_{l+1}: fixed feedback matrix [n_{l+1}, n_l].

Reference: T. Lillicrap, D. Cownden, D. Tweed, C. Akerman, "Random feedback weights support learning
in deep neural networks", 2014, arXiv:1411.0247, equation 2 of the main text.

Differences from the paper:
1. The loss is the task's, not always the squared error; e is its derivative.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import LayerwiseFeedback
from fabench.learning_rule.base.part import Part
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Fa(LayerwiseFeedback):
    name: str

    def backward(self, part: Part) -> list[Tensor]:
        return part.operands("B")  # (1), (2)
