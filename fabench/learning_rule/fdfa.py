"""Forward direct feedback alignment (FDFA): direct feedback that learns the forward derivative.

    delta_L = e                                                      (1)
    delta_l = (e B_l) ⊙ f'(a_l)                                      (2)
    u_l = (u_{l-1} W_l) ⊙ f'(a_l) + v_l,  v_l ~ N(0, 1)              (3)
    j = u_{L-1} W_L                                                  (4)
    dB_l = B_l - j^T v_l                                             (5)

e: dloss/da_L [B, C]; B_l: feedback matrix of layer l [C, n_l]; v_l: noise in its activity h_l
[B, n_l]; u_l: what that of all layers up to l does to h_l, u_0 = 0; j: what it does to the output
[B, C], to first order: a product of the Jacobian and a vector, by forward differentiation. dB: what
the optimizer descends, at ``feedback_rate`` times its learning rate, a batch mean. The mean of
j^T v_l is the derivative of the output in h_l, which backpropagation would use in the place of B_l;
B_l is its running mean over steps, and so of little variance.

Reference: F. Bacho, D. Chu, "Low-variance forward gradients using direct feedback alignment and
momentum", Neural Networks 169, 2024, arXiv:2212.07282, section 3.

Differences from the paper:
1. B starts as ``init_of_B`` says, and has the optimizer and weight decay of W; ``feedback_rate`` is
   a factor on its learning rate. By plain descent at the rate lr it is a mean over 1/lr steps.
2. The weight alignment that is logged is DFA's.
"""

from collections.abc import Sequence

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import DirectFeedback, direct, mean_outer
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import NoisyRule, hidden_noise
from fabench.learning_rule.base.signal import Signals, chain_only
from fabench.model.layer.kernel import product
from fabench.model.layer.network import ForwardPass, Layer
from fabench.schema import STRICT, Rate


@dataclass(frozen=True, config=STRICT)
class Fdfa(DirectFeedback, NoisyRule):
    name: str
    feedback_rate: Rate

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return chain_only(layers)

    def learned_feedback(self, layers: tuple[Layer, ...]) -> Sequence[int]:
        return range(len(layers) - 1)

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        return direct(e, forward, part.operands("B")) | {len(part.layers) - 1: e}  # (1), (2)

    def adapt(self, part: Part, forward: ForwardPass, e: Tensor, deltas: Signals) -> None:
        if len(part.layers) == 1:
            return
        v = hidden_noise(part, "tangent", e.shape[1])
        W, u = part.operands("W"), v[0]
        for layer in range(1, len(v)):
            through = forward.pull(layer, product(u, W[layer]))
            u = part.as_operand(through + v[layer])  # (3)
        j = product(u, W[-1])  # (4)
        for layer, own in enumerate(v):
            gradient = part[f"B{layer}"] - mean_outer(part.as_operand(j), own)  # (5)
            part.descend(f"B{layer}", gradient, rate=self.feedback_rate)
