"""Kolen-Pollack learning (KP): feedback alignment whose feedback learns as the weights do.

    delta_L = e                                                      (1)
    delta_l = (delta_{l+1} B_{l+1}) ⊙ f'(a_l)                        (2)
    dW_{l+1} = h_l^T delta_{l+1}                                     (3)
    dB_{l+1} = delta_{l+1}^T h_l                                     (4)

e: dloss/da_L [B, C]; W_{l+1} [n_l, n_{l+1}]; B_{l+1}: feedback matrix [n_{l+1}, n_l]; dW, dB: what
the optimizer descends, batch means. (4) is (3) transposed, so with plain SGD and a weight decay
(``trainer.weight_decay``) on both, W_{l+1} - B_{l+1}^T shrinks by the factor 1 - lr weight_decay a
step. Without weight decay the difference stays, and shrinks only beside what both have learned.

Reference: M. Akrout, C. Wilson, P. Humphreys, T. Lillicrap, D. Tweed, "Deep learning without weight
transport", 2019, arXiv:1904.05391.

Differences from the paper:
1. The rate of decay is lr weight_decay, an L2 penalty; the paper's is a factor of its own.
2. Optimizers other than SGD treat the decay as a part of the gradient: W - B^T then need not shrink
   by a constant factor. ``trainer.clip_norm`` and ``trainer.gradient_noise`` change W's step alone.
"""

from collections.abc import Sequence

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import LayerwiseFeedback, followed
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signal import Signals
from fabench.model.layer.network import ForwardPass, Layer
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class KolenPollack(LayerwiseFeedback):
    name: str

    def learned_feedback(self, layers: tuple[Layer, ...]) -> Sequence[int]:
        return followed(layers)

    def backward(self, part: Part) -> list[Tensor]:
        return part.operands("B")  # (1), (2)

    def adapt(self, part: Part, forward: ForwardPass, e: Tensor, deltas: Signals) -> None:
        for number in self.learned_feedback(part.layers):
            gradient = forward.outer(number + 1, deltas[number + 1]).value().mT  # (4)
            part.descend(f"B{number}", gradient)
