"""Neural tangent kernel regime (NTK): a network whose gates are drawn once and never learn.

    h_l = a_l ⊙ gate(h_{l-1} G_l),   a_l = h_{l-1} W_l               (1)
    delta_l = (delta_{l+1} W_{l+1}^T) ⊙ gate(h_{l-1} G_l)            (2)

G_l: fixed, drawn as W_l is [n_{l-1}, n_l]. W_l and the output weights learn by gradient descent.

Two variants were published:
- ``gate: step``, 1{g > 0}: Daniely and Malach's code. The hidden layer is linear in W for a fixed
  set of gates ("GaLU"), as ReLU is with its own; this is the variant of the theory.
- ``gate: sigmoid``, 1/(1 + exp(-g)): Demirbilek's thesis, whose code feeds both layers to a gated
  linear unit. The default, since its figures are the ones that fabench reproduces.

References: A. Daniely, E. Malach, "Learning parities with neural networks", 2020, arXiv:2002.07400,
section 5; D. C. Demirbilek, "The Dynamics of Learning Beyond Stochastic Gradient Descent", 2021,
section 1.3.1.

Differences from the papers:
1. No biases unless ``model.bias`` asks for them (Daniely and Malach have them, the thesis not).
2. In a deep network gate(h_{l-1} G_l) depends on the weights below; (2) takes it as a constant.
   Both sources have one hidden layer, where it is one.
3. Output weights learn too, so the model is not strictly linear in its parameters; so it is in
   both sources.
"""

from dataclasses import replace

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import LazyRule
from fabench.learning_rule.base.signal import SignalRule, Signals, chain_only, transposed
from fabench.model.layer.network import ForwardPass, GateName, Layer
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Ntk(LazyRule, SignalRule):
    name: str
    gate: GateName

    def hidden_layer(self, layer: Layer) -> Layer:
        return replace(layer, gate=self.gate)  # (1)

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return chain_only(layers)

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        return forward.carry(e, transposed(part.operands("W")))  # (2)
