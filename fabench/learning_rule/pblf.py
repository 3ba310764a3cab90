"""Parametrized backpropagation (PBLF): at chosen places the signal is multiplied by a tiny network.

    m(h) = w2 psi(w1 h + b1) + b2                                    (1)
    delta_L = e                                                      (2)
    delta_l = s_l ⊙ m(h_l) where site l is on, else s_l              (3)

e: dloss/da_L [B, C]; s_l: what backpropagation brings to layer l's sum from the teaching signals
above [B, n_l]; h_l: that sum, the layer's pre-activation [B, n_l]; m: what stands in for the
derivative, 1, of an identity that is thought to be there, unit by unit; w1, b1, w2, b2: numbers,
the same at all sites; psi: a nonlinearity. So the factor is part of the signal that goes on, to the
layer's own weights and to all layers below.

There are four sites: in a chain of layers the hidden ones, the first four of them; in a residual
network the sum that it starts with, and those that end a stage (blocks whose sums have one shape).
``mode`` says which are on: a number of four bits, 8 for the first site, 4, 2, 1 for the last; 15,
the paper's 1111, is all. With w2 = 0 and b2 = 1 this is backpropagation, to the last digit; with
w2 = 0 alone b2 is a factor on the gradients of the layer and those below, which no optimizer with
a rate for every weight sees.

Reference: R. H. Eyono, "Learning to backpropagate", 2020, section 5.1 and table 6.1.

Differences from the paper:
1. psi is not said there: the choice is ``psi``. Nor are the sites: only that there are four.
2. h is the pre-activation, as the text says; equation 5.2 has the identity after the activation
   (that is the same for ReLU, at whose silent units the signal is 0 anyway).
3. w1, b1, w2, b2 are not confined to (-1, 1), as its search is.
4. A network with fewer sites leaves the last bits of ``mode`` without effect.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signal import SignalRule, Signals, transposed
from fabench.model.layer.network import ACTIVATIONS, ActivationName, ForwardPass, Layer, is_chain
from fabench.schema import STRICT, FourBits, Real

SITES = 4


@dataclass(frozen=True, config=STRICT)
class Pblf(SignalRule):
    name: str
    w1: Real
    b1: Real
    w2: Real
    b2: Real
    mode: FourBits
    psi: ActivationName

    backpropagation: ClassVar[dict[str, float]] = {"w1": 0, "b1": 0, "w2": 0, "b2": 1, "mode": 15}

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        factors = {
            layer: self.factor(site, forward.a[layer])
            for site, layer in enumerate(sites(forward.layers))
        }
        return forward.carry(e, transposed(part.operands("W")), factors)  # (2), (3)

    def factor(self, site: int, h: Tensor) -> Tensor:
        """m(h) [R, B, units] of h [R, B, *shape] where the site, counted from 0, is on, else 1."""
        on = self.mode // 2 ** (SITES - 1 - site) % 2
        psi = ACTIVATIONS[self.psi].f(self.w1 * h.flatten(2) + self.b1)
        return on * self.w2 * psi + (on * self.b2 + (1 - on))  # (1)


def sites(layers: Sequence[Layer]) -> list[int]:
    """The layers at whose sums there is a site, at most four."""
    if is_chain(layers):
        return list(range(len(layers) - 1))[:SITES]
    carried = [number for number, layer in enumerate(layers) if layer.adds]
    ends = [one for one, after in pairwise(carried) if layers[one].shape != layers[after].shape]
    return [0, *ends, *carried[-1:]][:SITES]
