"""Difference target propagation (DTP): every layer gets a target, which comes down by inverses.

    g_l(h) = f(h V_l + c_l)                                          (1)
    t_L = a_L - stepsize e                                           (2)
    t_l = h_l + g_{l+1}(t_{l+1}) - g_{l+1}(h_{l+1})                  (3)
    delta_l = ((h_l - t_l) / stepsize) ⊙ f'(a_l)                     (4)

e: dloss/da_L [B, C]; h_L = a_L; t_l: target of h_l. What all rules with targets share, among it
(1), (4) and h~ = h_l + noise xi, stands in ``base/target.py``. The inverses descend the gradient of
``inverse_loss``, a batch mean:

    reconstruction       ||g_{l+1}(f_{l+1}(h~)) - h~||^2             (5)
    difference           ||t~_l - h~||^2, t~_l: (3) from t_L = a~_L  (6)
    local_difference     -2 <noise xi, g(f(h~)) - r> + ||g(f(h_l) + noise zeta) - r||^2   (7)

a~_L: the network's answer to h~; in (6), which takes a way to the output and back for every layer,
inverses above are constants. g and f in (7) are those of layer l+1, r = g(f(h_l)), a constant
nowhere; zeta ~ N(0, 1). (5) makes g an inverse of f. (6), the difference reconstruction loss (DRL),
makes the targets those of a damped Gauss-Newton step, and (7) (L-DRL) makes g' the transpose of f',
so that targets are backpropagation's where they are near.

V_l stands in for W_l^T, as the weight alignment measures it, when targets are near: then (3) goes
through g' as backpropagation goes through f'^T. ``feedback_steps`` = 0 is FW-DTP: inverses stay as
``init_of_B`` draws them.

References: D.-H. Lee, S. Zhang, A. Fischer, Y. Bengio, "Difference target propagation", 2015,
arXiv:1412.7525; A. Meulemans, F. Carzaniga, J. Suykens, J. Sacramento, B. Grewe, "A theoretical
framework for target propagation", 2020, arXiv:2006.14331, for (2), (6) and the experiment;
M. Ernoult et al., "Towards scaling difference target propagation by learning backprop targets",
2022, arXiv:2201.13415, for (7); T. Shibuya, N. Inoue, R. Kawakami, I. Sato, "Fixed-weight
difference target propagation", AAAI 2023, arXiv:2212.10352.

Differences from the papers:
1. stepsize is of an example's e; the papers' is of the batch mean's gradient, B times as large.
2. The local loss is divided by 2 stepsize, so that the learning rate means what it means for
   backpropagation. Meulemans' code divides the learning rate by stepsize instead (normalize_lr).
3. Lee takes t_{L-1} from backpropagation's gradient; with Meulemans' (2) and (3) it comes from g_L.
4. The inverses learn in every step, as Meulemans'; Lee's have epochs of their own. Meulemans'
   code divides (5) by noise^2 and the number of units, and (6) by noise^2, which Adam cancels.
5. V starts as ``init_of_B`` says, c at 0. They have the optimizer and weight decay of W.
6. An optimizer that counts its steps (Adam's bias correction) counts those of pretraining, too.
7. Ernoult's inverses have numbers of steps and of noise of their own; here all have the same.
"""

from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.target import (
    Descends,
    TargetRule,
    activation,
    change,
    down,
    down_by,
    inverse,
    pulled,
    raised,
)
from fabench.model.layer.kernel import plus
from fabench.model.layer.network import Activation, Outer
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class DifferenceTargetPropagation(TargetRule):
    inverse_loss: Literal["reconstruction", "difference", "local_difference"] = "reconstruction"

    def answer(self, part: Part, a: Tensor) -> Tensor:
        return a

    def aim(self, h: Tensor, e: Tensor, y: Tensor) -> Tensor:
        return -self.stepsize * e  # (2)

    def lead(self, h: Tensor, g: Activation, a: Tensor, step: Tensor) -> Tensor:
        return change(g, a, step)  # (1), (3)

    def inverse_descends(
        self, part: Part, layer: int, h: Tensor, xi: Tensor, step: int
    ) -> Descends:
        if self.inverse_loss == "reconstruction":
            noisy = part.as_operand(plus(h, self.noise, xi))
            return self.reconstruction(part, layer, noisy, noisy)  # (5)
        noise = self.noise * xi
        if self.inverse_loss == "difference":
            return self.difference(part, layer, h, noise)
        zeta = part.noise(f"inverse {step} of {layer}", (h.shape[1], part.layers[layer].units))
        return self.local_difference(part, layer, h, noise, self.noise * zeta)

    def difference(self, part: Part, layer: int, h: Tensor, noise: Tensor) -> Descends:
        """What the inverse of ``layer`` descends: the gradient of (6), for h~ = h + noise."""
        clean, far = [h], noise
        for upper in range(layer, len(part.layers)):
            above, far = raised(part, upper, clean[-1], far)
            clean.append(above)
        for upper in reversed(range(layer + 1, len(part.layers))):
            a, s = down(part, upper, clean[upper + 1 - layer]), down_by(part, upper, far)
            far = change(activation(part, upper - 1), a, s.type_as(a))  # (3)
        g, a = activation(part, layer - 1), down(part, layer, clean[1])
        s = down_by(part, layer, far).type_as(a)
        missing = 2 * (change(g, a, s) - noise)  # (6)
        at_target = pulled(g, missing, a + s)
        at_answer = pulled(g, missing, a)
        # h~^T at_target - h^T at_answer, h~ = h + far, as differences of what is near
        ends = [(far, at_target), (clean[1], at_target - at_answer)]
        return self._sum(part, layer, ends, at_target - at_answer)

    def local_difference(
        self, part: Part, layer: int, h: Tensor, noise: Tensor, above: Tensor
    ) -> Descends:
        """What the inverse of ``layer`` descends: the gradient of (7), for noise ``above`` it."""
        up, moved = raised(part, layer, h, noise)
        g, a = activation(part, layer - 1), down(part, layer, up)
        s, t = (down_by(part, layer, x).type_as(a) for x in (moved, above))
        sent = -2 * noise
        from_below = pulled(g, sent, a + s)
        far = 2 * change(g, a, t)
        from_above = pulled(g, far, a + t)
        rest = from_below + from_above - pulled(g, sent + far, a)
        return self._sum(part, layer, [(moved, from_below), (above, from_above), (up, rest)], rest)

    def _sum(
        self, part: Part, layer: int, ends: list[tuple[Tensor, Tensor]], of_bias: Tensor
    ) -> Descends:
        """The sum of several outer products, a batch mean."""
        h, delta = (part.as_operand(torch.cat(t, 1)) for t in zip(*ends, strict=True))
        size = h.shape[1] // len(ends)
        return Outer(inverse(part.layers, layer), h, delta, size), of_bias.mean(1, keepdim=True)
