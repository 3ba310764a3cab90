"""Direct feedback alignment (DFA): a fixed matrix of its own brings every layer the error.

    delta_L = e                                                      (1)
    delta_l = (e B_l) ⊙ f'(a_l)                                      (2)

e: dloss/da_L [B, C]; B_l: fixed feedback matrix of layer l [C, n_l].

Weight alignment: see ``DirectFeedback``.

Reference: A. Nøkland, "Direct feedback alignment provides learning in deep neural networks", 2016,
arXiv:1609.01596, equation 7.

Differences from the paper:
1. Gradients are batch means; Nøkland's code sums over the batch.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import DirectFeedback, direct
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signal import Signals
from fabench.model.layer.network import ForwardPass
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Dfa(DirectFeedback):
    name: str

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        return direct(e, forward, part.operands("B")) | {len(part.layers) - 1: e}  # (1), (2)
