"""PEPITA: the error modulates the input, and a second forward pass tells every layer what changes.

    h_l = f(h_{l-1} W_l + b_l),  h_0 = x                             (1)
    h'_0 = x + e F                                                   (2)
    h'_l = f(h'_{l-1} W_l + b_l)                                     (3)
    dW_l = h'_{l-1}^T (h_l - h'_l)                                   (4)
    dW_L = h'_{L-1}^T e'                                             (5)

e, e': dloss/da_L [B, C] of the first and of the second pass; F: fixed projection of the error to
the inputs [C, n_0], uniform within ± feedback_scale sqrt(6 / n_0); dW: what the optimizer descends,
a batch mean; biases descend the same without h'_{l-1}. Dropout drops the same in both passes.

Reference: G. Dellaferrera, G. Kreiman, "Error-driven input modulation: solving the credit
assignment problem without a backward pass", ICML 2022, arXiv:2201.11665, algorithm 1.

Differences from the paper:
1. The loss is the task's, and e its derivative; the paper's e is a softmax output less the label,
   which is that of the cross-entropy.
2. (3) is computed as what changes in (1), so that rounding leaves the small differences in (4).
3. The paper's networks have no biases.
"""

from math import sqrt

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import DescentRule, teach
from fabench.learning_rule.base.signal import chain_only
from fabench.learning_rule.base.target import change
from fabench.model.layer.initialization import InitOfB, uniform
from fabench.model.layer.kernel import product
from fabench.model.layer.network import ACTIVATIONS, Layer, Outer, masked
from fabench.model.layer.parameter import Parameter
from fabench.schema import STRICT, Rate


@dataclass(frozen=True, config=STRICT)
class Pepita(DescentRule):
    name: str
    feedback_scale: Rate

    def parameters(self, layers: tuple[Layer, ...], init_of_B: InitOfB) -> dict[str, Parameter]:
        shape, bound = (layers[-1].units, layers[0].n_inputs), sqrt(6 / layers[0].n_inputs)
        scale = "learning_rule.feedback_scale"
        projection = Parameter(
            shape, lambda rng: uniform(rng, *shape, bound), "projection", "never", scale
        )
        return {"F0": projection}

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return chain_only(layers)

    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return part.forward(x).output

    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        first, last = part.forward(x, training=True), len(part.layers) - 1  # (1)
        e = part.error(first.output, y)
        far = masked(product(e, part.operand("F0")), first.masks[0])  # h' - h, (2)
        found = []
        for number, (layer, h, a) in enumerate(zip(part.layers, first.h, first.a, strict=True)):
            step = product(part.as_operand(far), part.operand(f"W{number}")).type_as(a)
            second = part.as_operand(h + far)
            if number == last:
                delta = part.error(a + step, y)  # (5)
            else:
                moved = change(ACTIVATIONS[layer.activation], a, step)  # (3)
                far = masked(moved, first.masks[number + 1])
                delta = part.as_operand(-far)
            found.append(Outer(layer, second, delta, h.shape[1]))  # (4)
        for number, outer in enumerate(found):
            if part.layers[number].trained:
                teach(part, number, outer)
        return first.output
