"""Direct random target projection (DRTP): the targets in place of the error.

    delta_L = e                                                      (1)
    delta_l = (-y* B_l) ⊙ f'(a_l)                                    (2)

e: dloss/da_L = yhat - y* [B, C]; y*: targets, 0 or 1 [B, C]; B_l: fixed feedback matrix of layer l
[C, n_l]. Hidden layers learn without waiting for the output.

The sign: outputs lie between 0 and 1, so e is negative where y* = 1 and positive where y* = 0; -y*
is its sign, shifted and scaled. The paper's code descends +y* B_l, which is the same algorithm
wherever B_l and -B_l are equally likely. With (2) B_l stands in for what DFA's does: W aligns with
+B, and ``init_of_B=transported`` means what it says.

Reference: C. Frenkel, M. Lefebvre, D. Bol, "Learning without feedback: fixed random learning
signals allow for feedforward training of deep neural networks", 2021, arXiv:1909.01311.

Differences from the paper:
1. The sign in (2), see above.
2. The paper's targets are one-hot. With one output (parity) only examples of class 1 teach the
   hidden layers, always in the same direction: they saturate unless the learning rate is small.
3. The weight alignment that is logged is DFA's.

The paper's units saturate (tanh). Hidden layers of ReLUs are pushed the same way as long as they
train, and their activity grows without limit unless the learning rate is very small.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import DirectFeedback, direct
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signal import Signals
from fabench.model.layer.network import ForwardPass
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Drtp(DirectFeedback):
    name: str

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        return direct(-y, forward, part.operands("B")) | {len(part.layers) - 1: e}  # (1), (2)
