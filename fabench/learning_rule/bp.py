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

from fabench.learning_rule.base import LearningRule, Signals
from fabench.network import ForwardPass
from fabench.schema import STRICT


def sequential(e: Tensor, forward: ForwardPass, backward: list[Tensor]) -> Signals:
    """Send e back layer by layer; ``backward[l]`` [R, n_{l+1}, n_l] leads into hidden layer l."""
    deltas = [e]  # (1)
    for layer in reversed(range(len(backward))):
        carried = forward.back(layer + 1, deltas[0], backward[layer])
        deltas.insert(0, carried * forward.derivative(layer))  # (2)
    return list(deltas)


@dataclass(frozen=True, config=STRICT)
class Bp(LearningRule):
    name: str

    def teaching_signals(
        self, e: Tensor, forward: ForwardPass, W: list[Tensor], B: list[Tensor]
    ) -> Signals:
        return sequential(e, forward, [w.mT for w in W[1:]])
