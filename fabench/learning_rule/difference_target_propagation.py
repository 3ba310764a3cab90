"""Difference target propagation (DTP): every layer gets a target, which comes down by inverses.

    g_l(h) = f(h V_l + c_l)                                          (1)
    t_L = a_L - stepsize e                                           (2)
    t_l = h_l + g_{l+1}(t_{l+1}) - g_{l+1}(h_{l+1})                  (3)
    delta_l = ((h_l - t_l) / stepsize) ⊙ f'(a_l)                     (4)
    xi ~ N(0, 1),  h~ = h_l + noise xi                               (5)
    d(V, c)_{l+1} = the gradient of ||g_{l+1}(f_{l+1}(h~)) - h~||^2  (6)

e: dloss/da_L [B, C]; h_L = a_L; g_l: the inverse of layer l, f_l(h) = f(h W_l + b_l), so that its
activation f is the one of layer l-1; V_l [n_l, n_{l-1}], c_l [n_{l-1}]; t_l: target of h_l. (4) is
the gradient of ||h_l - t_l||^2 / (2 stepsize) at a_l, t_l being a constant; it is e in the last
layer. d: what the optimizer descends, at ``feedback_rate`` times its learning rate, a batch mean.
Every training step has ``feedback_steps`` of (5) and (6), each with noise of its own, and in the
first ``pretraining_epochs`` the weights do not learn.

V_l stands in for W_l^T, as the weight alignment measures it, when targets are near: then (3) goes
through g' as backpropagation goes through f'^T.

References: D.-H. Lee, S. Zhang, A. Fischer, Y. Bengio, "Difference target propagation", 2015,
arXiv:1412.7525; A. Meulemans, F. Carzaniga, J. Suykens, J. Sacramento, B. Grewe, "A theoretical
framework for target propagation", 2020, arXiv:2006.14331, for (2) and the experiment.

Differences from the papers:
1. stepsize is of an example's e; the papers' is of the batch mean's gradient, B times as large.
2. The local loss is divided by 2 stepsize, so that the learning rate means what it means for
   backpropagation. Meulemans' code divides the learning rate by stepsize instead (normalize_lr).
3. Lee takes t_{L-1} from backpropagation's gradient; with Meulemans' (2) and (3) it comes from g_L.
4. The inverses learn in every step, as Meulemans'; Lee's have epochs of their own. Meulemans'
   code divides (6) by noise^2 and the number of units, which Adam cancels.
5. V starts as ``init_of_B`` says, c at 0. They have the optimizer and weight decay of W.
6. An optimizer that counts its steps (Adam's bias correction) counts those of pretraining, too.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import AntiparallelFeedback, standing_in
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import NoisyRule
from fabench.learning_rule.base.signal import Signals, chain_only
from fabench.model.layer.kernel import product
from fabench.model.layer.network import ACTIVATIONS, Activation, ForwardPass, Layer, Outer
from fabench.model.layer.parameter import Parameter, network_parameters
from fabench.schema import STRICT, Count, NonNegative, Rate


@dataclass(frozen=True, config=STRICT)
class DifferenceTargetPropagation(AntiparallelFeedback, NoisyRule):
    name: str
    stepsize: Rate
    noise: NonNegative
    feedback_rate: Rate
    feedback_steps: Count
    pretraining_epochs: Annotated[int, Field(ge=0, lt=2**63)]

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return chain_only(layers)

    def learned_feedback(self, layers: tuple[Layer, ...]) -> Sequence[int]:
        return range(len(layers) - 1)

    def other_parameters(self, layers: tuple[Layer, ...]) -> dict[str, Parameter]:
        table = network_parameters([inverse(layers, layer) for layer in range(1, len(layers))])
        return {f"c{name[1:]}": bias for name, bias in table.items() if name[0] == "b"}

    def teaches(self, part: Part) -> bool:
        return part.epoch > self.pretraining_epochs

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        h, V, last = [*forward.h, forward.output], part.operands("B"), len(part.layers) - 1
        deltas, far = {last: e}, -self.stepsize * e  # (2); far = t - h
        for layer in reversed(range(last)):
            f, c = ACTIVATIONS[part.layers[layer].activation], part[f"c{layer}"]
            a = product(h[layer + 2], V[layer]) + c  # float32, as c: bf16 has no room for targets
            step = product(part.as_operand(far), V[layer]).type_as(a)
            far = change(f, a, step)  # (1), (3)
            missing = part.as_operand(far / -self.stepsize)
            deltas[layer] = forward.pull(layer, missing)  # (4)
        return deltas

    def adapt(self, part: Part, forward: ForwardPass, e: Tensor, deltas: Signals) -> None:
        widths = [layer.units for layer in part.layers[:-1]]
        for step in range(self.feedback_steps):
            drawn = part.noise(f"inverse {step}", (e.shape[1], sum(widths))).split(widths, 2)
            for layer, (h, xi) in enumerate(zip(forward.h[1:], drawn, strict=True), 1):
                noisy = part.as_operand(h + self.noise * xi)  # (5)
                outer = self.reconstruction(part, layer, noisy)
                part.descend(f"B{layer - 1}", outer, rate=self.feedback_rate)
                part.descend(f"c{layer - 1}", outer.of_bias(), rate=self.feedback_rate)

    def reconstruction(self, part: Part, layer: int, h: Tensor) -> Outer:
        """What the inverse of ``layer`` descends for its inputs h [R, B, n_inputs]: (6)."""
        own, back = part.layers[layer], inverse(part.layers, layer)
        above, _ = own.preactivation(h, part.operand(f"W{layer}"), bias(part, layer))
        if layer < len(part.layers) - 1:
            above = ACTIVATIONS[own.activation].f(above)
        number, g = layer - 1, ACTIVATIONS[back.activation]
        a, _ = back.preactivation(above, part.operand(f"B{number}"), part.operand(f"c{number}"))
        again = g.f(a)  # (1)
        return Outer(back, above, 2 * (again - h) * g.derivative(a, again), h.shape[1])

    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        return standing_in(B, W)


def change(f: Activation, a: Tensor, step: Tensor) -> Tensor:
    """f(a + step) - f(a); where rounding would leave little of that, f'(a) step."""
    before, near = f.f(a), step.abs() < torch.finfo(step.dtype).eps ** 0.5
    return torch.where(near, f.derivative(a, before) * step, f.f(a + step) - before)


def inverse(layers: tuple[Layer, ...], layer: int) -> Layer:
    """The inverse of ``layer``: its outputs come in, its inputs go out, (1)."""
    own = layers[layer]
    return Layer(own.fan_out, own.fan_in, layers[layer - 1].activation, bias_init="zeros")


def bias(part: Part, layer: int) -> Tensor | None:
    """A layer's biases, as an operand."""
    return part.operand(f"b{layer}") if part.layers[layer].bias_init is not None else None
