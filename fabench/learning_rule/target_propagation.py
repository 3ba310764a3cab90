"""Target propagation (TP): every layer's target is what the inverses make of the output's.

    g_l(h) = f(h V_l + c_l)                                          (1)
    t_L = a_L - stepsize e                                           (2)
    t_l = g_{l+1}(t_{l+1})                                           (3)
    delta_l = ((h_l - t_l) / stepsize) ⊙ f'(a_l)                     (4)
    d(V, c)_{l+1} = the gradient of ||g_{l+1}(f_{l+1}(h~)) - h~||^2  (5)

e: dloss/da_L [B, C]; h_L = a_L; t_l: target of h_l; the rest, among it (1), (4) and
h~ = h_l + noise xi, stands in ``base/target.py``. Where an inverse is not exact, h_l is not the
target of its own output, and (4) does not vanish with e: ``difference_target_propagation`` corrects
(3) by that. Here activities are drawn to what the inverses make of them, and collapse, unless
targets lie further away: ``stepsize`` wants to be large.

References: Y. Bengio, "How auto-encoders could provide credit assignment in deep networks via
target propagation", 2014, arXiv:1407.7906; D.-H. Lee, S. Zhang, A. Fischer, Y. Bengio, "Difference
target propagation", 2015, arXiv:1412.7525, section 2.

Differences from the papers:
1. The local loss is divided by 2 stepsize, so that the learning rate means what it means for
   backpropagation where inverses are exact. stepsize is of an example's e.
2. Lee takes t_{L-1} from backpropagation's gradient; with (2) and (3) it comes from g_L.
3. The inverses learn in every step; Lee's have epochs of their own.
4. V starts as ``init_of_B`` says, c at 0. They have the optimizer and weight decay of W.
5. An optimizer that counts its steps (Adam's bias correction) counts those of pretraining, too.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.target import Descends, TargetRule
from fabench.model.layer.kernel import plus
from fabench.model.layer.network import Activation
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class TargetPropagation(TargetRule):
    def answer(self, part: Part, a: Tensor) -> Tensor:
        return a

    def aim(self, h: Tensor, e: Tensor, y: Tensor) -> Tensor:
        return -self.stepsize * e  # (2)

    def lead(self, h: Tensor, g: Activation, a: Tensor, step: Tensor) -> Tensor:
        return g.f(a + step) - h  # (1), (3)

    def inverse_descends(
        self, part: Part, layer: int, h: Tensor, xi: Tensor, step: int
    ) -> Descends:
        noisy = part.as_operand(plus(h, self.noise, xi))
        return self.reconstruction(part, layer, noisy, noisy)  # (5)
