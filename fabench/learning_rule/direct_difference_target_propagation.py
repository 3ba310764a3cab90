"""Direct difference target propagation (DDTP): targets come straight from the output, linearly.

    t_L = a_L - stepsize e                                           (1)
    t_l = h_l + t_L V_l - a_L V_l                                    (2)
    delta_l = ((h_l - t_l) / stepsize) ⊙ f'(a_l) = (e V_l) ⊙ f'(a_l) (3)
    h~ = h_l + noise xi,  xi ~ N(0, 1)                               (4)
    dV_l = the gradient of ||h_l + a~_L V_l - a_L V_l - h~||^2       (5)

e: dloss/da_L [B, C]; V_l: feedback matrix of layer l [C, n_l]; t_l: target of h_l; a~_L: the
network's answer to h~. (3) is the gradient of ||h_l - t_l||^2 / (2 stepsize) at a_l, and does not
depend on stepsize, since (2) is linear: it is direct feedback alignment's. dV: what the optimizer
descends, at ``feedback_rate`` times its learning rate, a batch mean. (5), the difference
reconstruction loss, comes to V_l = (J^T J)^-1 J^T for small noise, J [n_l, C] the derivative of
the output in h_l (and with weight decay, J^T J plus a multiple of the identity): the targets of a
Gauss-Newton step. Every training step has ``feedback_steps`` of (4) and (5), and in the first
``pretraining_epochs`` the weights do not learn.

Reference: A. Meulemans, F. Carzaniga, J. Suykens, J. Sacramento, B. Grewe, "A theoretical framework
for target propagation", 2020, arXiv:2006.14331, section 3 and DDTP-linear in section 4.

Differences from the paper:
1. The local loss is divided by 2 stepsize; the authors' code divides the learning rate instead.
2. (5) is not divided by noise^2, which Adam cancels; ``feedback_rate`` can make up for it.
3. V starts as ``init_of_B`` says, and has the optimizer and weight decay of W.
4. The weight alignment that is logged is DFA's.
5. An optimizer that counts its steps (Adam's bias correction) counts those of pretraining, too.
"""

from collections.abc import Sequence

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import DirectFeedback, direct, mean_outer
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import NoisyRule, hidden_noise
from fabench.learning_rule.base.signal import Signals, chain_only
from fabench.learning_rule.base.target import raised
from fabench.model.layer.kernel import product
from fabench.model.layer.network import ForwardPass, Layer
from fabench.schema import STRICT, CountFrom0, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class DirectDifferenceTargetPropagation(DirectFeedback, NoisyRule):
    name: str
    noise: NonNegative
    feedback_rate: Rate
    feedback_steps: CountFrom0
    pretraining_epochs: CountFrom0

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return chain_only(layers)

    def learned_feedback(self, layers: tuple[Layer, ...]) -> Sequence[int]:
        return range(len(layers) - 1) if self.feedback_steps else ()

    def teaches(self, part: Part) -> bool:
        return part.epoch > self.pretraining_epochs

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        return direct(e, forward, part.operands("B")) | {len(part.layers) - 1: e}  # (1) to (3)

    def adapt(self, part: Part, forward: ForwardPass, e: Tensor, deltas: Signals) -> None:
        for step in range(self.feedback_steps):
            drawn = hidden_noise(part, f"feedback {step}", e.shape[1])
            for layer, (h, xi) in enumerate(zip(forward.h[1:], drawn, strict=True)):
                above, far = h, self.noise * xi  # (4)
                for upper in range(layer + 1, len(part.layers)):
                    above, far = raised(part, upper, above, far)
                a = part.as_operand(far)  # a~_L - a_L
                missing = product(a, part.operand(f"B{layer}")) - self.noise * xi
                gradient = mean_outer(a, part.as_operand(2 * missing))  # (5)
                part.descend(f"B{layer}", gradient, rate=self.feedback_rate)
