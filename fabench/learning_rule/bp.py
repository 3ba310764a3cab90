"""Backpropagation (BP): the error goes back through the transposed weights.

    delta_L = e                                                      (1)
    delta_l = (delta_{l+1} W_{l+1}^T) ⊙ f'(a_l)                      (2)

e: dloss/da_L [B, C]; delta_l: teaching signal of layer l [B, n_l]; W_{l+1}: forward weights
[n_l, n_{l+1}]; f': the activation's derivative.

Reference: D. Rumelhart, G. Hinton, R. Williams, "Learning representations by back-propagating
errors", Nature 323, 1986; D. C. Demirbilek, "The Dynamics of Learning Beyond Stochastic Gradient
Descent", 2021, section 1.1 and appendix A.

Differences from the paper: none.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signal import SignalRule, Signals, transposed
from fabench.model.layer.network import ForwardPass
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Bp(SignalRule):
    name: str

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        return forward.carry(e, transposed(part.operands("W")))  # (1), (2)
