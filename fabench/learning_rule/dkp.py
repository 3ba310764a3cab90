"""Direct Kolen-Pollack (DKP): direct feedback alignment whose feedback learns.

    delta_L = e                                                      (1)
    delta_l = (e B_l) ⊙ f'(a_l)                                      (2)
    dB_l = e^T h_l                                                   (3)

e: dloss/da_L [B, C]; B_l: feedback matrix of layer l [C, n_l]; dB: what the optimizer descends, at
``feedback_rate`` times its learning rate, a batch mean. In the last hidden layer (3) is the
transposed update of W_L, as Kolen and Pollack's, and with weight decay (``trainer.weight_decay``)
B_{L-1} comes to W_L^T.

Reference: M. Webster, J. Choi, C. Ahn, "Learning the connections in direct feedback alignment",
2021, openreview.net/forum?id=zgGmAx9ZcY.

Differences from the paper:
1. B starts as ``init_of_B`` says; ``init_of_B=zeros`` starts without feedback.
2. B has the optimizer and weight decay of W; ``feedback_rate`` is a factor on its learning rate.
3. The weight alignment that is logged is DFA's.
4. ``trainer.clip_norm`` and ``trainer.gradient_noise`` change W's step alone.
"""

from collections.abc import Sequence

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import DirectFeedback, direct, followed, mean_outer
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signal import Signals
from fabench.model.layer.network import ForwardPass, Layer
from fabench.schema import STRICT, Rate


@dataclass(frozen=True, config=STRICT)
class Dkp(DirectFeedback):
    name: str
    feedback_rate: Rate

    def learned_feedback(self, layers: tuple[Layer, ...]) -> Sequence[int]:
        return followed(layers)

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        return direct(e, forward, part.operands("B")) | {len(part.layers) - 1: e}  # (1), (2)

    def adapt(self, part: Part, forward: ForwardPass, e: Tensor, deltas: Signals) -> None:
        for layer in self.learned_feedback(part.layers):
            h = forward.activity(layer)
            part.descend(f"B{layer}", mean_outer(e, h), rate=self.feedback_rate)  # (3)
