"""GeneRec, generalized recirculation: activities of two phases stand in for an error sent back.

    s_k = f(s_{k-1} W_k + b_k + s_{k+1} V_{k+1}),  s_0 = x           (1)
    a_L = s_{L-1} W_L + b_L;  s_L = g(a_L), or y where it is clamped (2)
    s_k <- s_k + dt (f(...) - s_k),  a_L likewise                    (3)
    GeneRec      dM = s_i^-^T (s_j^- - s_j^+)                        (4)
    midpoint     dM = (s_i^- + s_i^+)^T (s_j^- - s_j^+) / 2          (5)
    symmetric    dM = s_i^-^T (s_j^- - s_j^+) + (s_i^- - s_i^+)^T s_j^- (6)
    db_k = s_k^- - s_k^+                                             (7)

s_k [B, n_k]: the activity of layer k = 1, ..., L; f: its activation; g: what the output predicts
(its sigmoid, its softmax, or itself); y: targets [B, C]; M: the weights by which layer i sends to
layer j, W_k up (i = k-1, j = k) and V_k [n_k, n_{k-1}] down (i = k, j = k-1); dM, db: what the
optimizer descends, batch means. ``steps`` times (3), all layers at once, lead from the forward pass
to the free state s^-, whose a_L is the network's answer, and on to the clamped one, s^+. The input
is the same in both. A unit's difference stands for the error that backpropagation would send it,
with f' in it: what is sent down, s_{k+1} V_{k+1}, differs by the error above.

V_k starts as W_k^T, and learns by ``variant=generec`` (4) or ``midpoint`` (5). With ``symmetric``
(6) it is W_k^T. (5) of both directions together is contrastive Hebbian learning, which is the rule
``contrastive_hebbian`` with gamma = 1.

Reference: R. C. O'Reilly, "Biologically plausible error-driven learning using local activation
differences: the generalized recirculation algorithm", Neural Computation 8(5), 1996.

Differences from the paper:
1. The output predicts as ``task.loss`` says.
2. Activities move towards f of what arrives; the paper's inputs of units do.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import followed
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import sent_down
from fabench.learning_rule.base.settling import SettlingRule, States, clamped
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.kernel import product
from fabench.model.layer.network import Layer, Outer
from fabench.model.layer.parameter import Parameter, network_parameters
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class Generec(SettlingRule):
    name: str
    variant: Literal["generec", "midpoint", "symmetric"]
    dt: Annotated[float, Field(gt=0, le=1)]
    steps: Count

    def parameters(self, layers: tuple[Layer, ...], init_of_B: InitOfB) -> dict[str, Parameter]:
        if self.variant == "symmetric":
            return {}
        table = network_parameters(layers)
        return {f"V{k}": transposed(table[f"W{k + 1}"]) for k in range(len(layers) - 1)}

    def started_with(
        self, layers: tuple[Layer, ...], weights: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        if self.variant == "symmetric":
            return {}
        return {f"V{k}": weights[f"W{k + 1}"].mT for k in range(len(layers) - 1)}

    def relax(
        self, part: Part, drive: Tensor, states: States | None = None, target: Tensor | None = None
    ) -> States:
        def feedback(k: int, s: Tensor) -> Tensor:
            if self.variant == "symmetric":
                return sent_down(part, k, s)
            return product(part.as_operand(s), part.operand(f"V{k - 1}"))

        return clamped(part, drive, states, target, self.steps, self.dt, feedback)  # (1) to (3)

    def contrast(
        self, part: Part, x: Tensor, minus: States, plus: States
    ) -> dict[int, tuple[Outer, Tensor]]:
        s, t, found = [x, *answered(part, minus)], [x, *plus], {}
        for k, layer in enumerate(part.layers):
            outer = self.sent(part, layer, s[k : k + 2], t[k : k + 2])
            found[k] = outer, (s[k + 1] - t[k + 1]).mean(1, keepdim=True)  # (7)
        return found

    def adapt(self, part: Part, minus: States, plus: States) -> None:
        if self.variant == "symmetric":
            return
        s, t = answered(part, minus), plus
        for k in followed(part.layers):
            layer = part.layers[k + 1]
            down = Layer(layer.fan_out, layer.fan_in)
            part.descend(f"V{k}", self.sent(part, down, [s[k + 1], s[k]], [t[k + 1], t[k]]))

    def sent(self, part: Part, layer: Layer, s: States, t: States) -> Outer:
        """What the weights descend by which the first of two layers sends to the second, whose
        activities are s, freely, and t: (4) to (6)."""
        h, d = s[0], s[1] - t[1]
        if self.variant == "midpoint":
            h = (s[0] + t[0]) / 2
        elif self.variant == "symmetric" and s[0] is not t[0]:  # the inputs are the same
            h, d = torch.cat([h, s[0] - t[0]], 1), torch.cat([d, s[1]], 1)
        return Outer(layer, part.as_operand(h), part.as_operand(d), s[0].shape[1])


def answered(part: Part, states: States) -> States:
    """The activities of all layers, the last one's as it predicts: (2)."""
    return [*states[:-1], part.prediction(states[-1])]


def transposed(weights: Parameter) -> Parameter:
    """What starts as these weights, transposed."""

    def draw(rng: Generator) -> NDArray[np.float32]:
        return np.ascontiguousarray(weights.draw(rng).T)

    return Parameter(weights.shape[::-1], draw, weights.stream, weights.moves, weights.scale)
