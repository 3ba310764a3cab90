"""Simplified difference target propagation (SDTP): the output's target is the label, no gradient.

    g_l(h) = f(h V_l + c_l)                                          (1)
    t_L = p - stepsize (p - y)                                       (2)
    t_l = h_l + g_{l+1}(t_{l+1}) - g_{l+1}(h_{l+1})                  (3)
    delta_l = ((h_l - t_l) / stepsize) ⊙ f'(a_l)                     (4)
    d(V, c)_{l+1} = the gradient of ||g_{l+1}(f_{l+1}(h~)) - h_l||^2 (5)

p: the distribution that the output predicts [B, C], its softmax or its sigmoids, which is h_L; y:
the label's, which is t_L where stepsize is 1. So no layer below the output is sent a derivative.
t_l: target of h_l; the rest, among it (1), (4) and h~ = h_l + noise xi, stands in
``base/target.py``. (5) removes noise; ``difference_target_propagation`` keeps it.

Reference: S. Bartunov, A. Santoro, B. Richards, L. Marris, G. Hinton, T. Lillicrap, "Assessing the
scalability of biologically-motivated deep learning algorithms and architectures", 2018,
arXiv:1807.04587, section 2.

Differences from the paper:
1. Layers and inverses learn in every step, as its SDTP with parallel updates.
2. The local loss is divided by 2 stepsize; the paper's is not divided.
3. V starts as ``init_of_B`` says, c at 0. They have the optimizer and weight decay of W.
4. The auxiliary output (AO-SDTP) is left out.
5. An optimizer that counts its steps (Adam's bias correction) counts those of pretraining, too.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.target import Descends, TargetRule, change
from fabench.model.layer.kernel import plus
from fabench.model.layer.network import Activation
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class SimplifiedDifferenceTargetPropagation(TargetRule):
    def answer(self, part: Part, a: Tensor) -> Tensor:
        return part.as_operand(part.prediction(a))

    def aim(self, h: Tensor, e: Tensor, y: Tensor) -> Tensor:
        return -self.stepsize * (h - y)  # (2)

    def lead(self, h: Tensor, g: Activation, a: Tensor, step: Tensor) -> Tensor:
        return change(g, a, step)  # (1), (3)

    def inverse_descends(
        self, part: Part, layer: int, h: Tensor, xi: Tensor, step: int
    ) -> Descends:
        noisy = part.as_operand(plus(h, self.noise, xi))
        return self.reconstruction(part, layer, noisy, h)  # (5)
