"""Rules that send every layer a target, which comes down from the output by inverses.

    g_l(h) = f(h V_l + c_l)                                          (1)
    delta_l = ((h_l - t_l) / stepsize) ⊙ f'(a_l)                     (2)
    h~ = h_l + noise xi,  xi ~ N(0, 1)                               (3)

h_l [B, n_l]: the activity of layer l, and of the last one what a rule takes for its answer; t_l:
target of h_l. g_l is the inverse of layer l, f_l(h) = f(h W_l + b_l), so that its activation f is
the one of layer l-1; V_l [n_l, n_{l-1}], c_l [n_{l-1}]. (2) is the gradient of
||h_l - t_l||^2 / (2 stepsize) at a_l, t_l being a constant; the last layer descends the loss, e.
Inverses learn from activities with noise (3). Every training step has ``feedback_steps`` of their
steps, each with noise of its own, at ``feedback_rate`` times the optimizer's learning rate; with
none, V stays as it was drawn, and c 0. In the first ``pretraining_epochs`` only inverses learn.

Axes: R rows, B batch, C outputs. Layers are counted from 0, L of them: the inverse of layer l, V_l
and c_l, is B<l-1> and c<l-1>, and takes h[l+1], the layer's output, to h[l], its input.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import AntiparallelFeedback
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import NoisyRule, hidden_noise, sent_up
from fabench.learning_rule.base.signal import Signals, chain_only
from fabench.model.layer.kernel import at_full, product
from fabench.model.layer.network import ACTIVATIONS, Activation, ForwardPass, Layer, Outer
from fabench.model.layer.parameter import Moves, Parameter, network_parameters
from fabench.schema import STRICT, CountFrom0, NonNegative, Rate

Descends = tuple[Outer, Tensor]
"""What an inverse's V descends, and its c [R, 1, units]: batch means."""


@dataclass(frozen=True, config=STRICT)
class TargetRule(AntiparallelFeedback, NoisyRule):
    """A rule that sends every layer a target."""

    name: str
    stepsize: Rate
    noise: NonNegative
    feedback_rate: Rate
    feedback_steps: CountFrom0
    pretraining_epochs: CountFrom0

    @abstractmethod
    def answer(self, part: Part, a: Tensor) -> Tensor:
        """h_L [R, B, C], an operand, of the output's pre-activation a."""

    @abstractmethod
    def aim(self, h: Tensor, e: Tensor, y: Tensor) -> Tensor:
        """t_L - h_L [R, B, C] of the answer h."""

    @abstractmethod
    def lead(self, h: Tensor, g: Activation, a: Tensor, step: Tensor) -> Tensor:
        """t_l - h_l [R, B, n_l], in float32, given h_l, h_{l+1} V_{l+1} + c_{l+1} = a and
        (t_{l+1} - h_{l+1}) V_{l+1} = step."""

    @abstractmethod
    def inverse_descends(
        self, part: Part, layer: int, h: Tensor, xi: Tensor, step: int
    ) -> Descends:
        """What the inverse of ``layer`` descends in its ``step``-th step, given the layer's inputs
        h and xi of (3) [R, B, n_inputs]."""

    @final
    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return chain_only(layers)

    @final
    def learned_feedback(self, layers: tuple[Layer, ...]) -> Sequence[int]:
        return range(len(layers) - 1) if self.feedback_steps else ()

    @final
    def other_parameters(self, layers: tuple[Layer, ...]) -> dict[str, Parameter]:
        moves: Moves = "descent" if self.feedback_steps else "never"
        inverses = [inverse(layers, layer) for layer in range(1, len(layers))]
        table = network_parameters(inverses, moves)
        return {f"c{name[1:]}": bias for name, bias in table.items() if name[0] == "b"}

    @final
    def teaches(self, part: Part) -> bool:
        return part.epoch > self.pretraining_epochs

    @final
    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        h, last = [*forward.h, self.answer(part, forward.output)], len(part.layers) - 1
        deltas, far = {last: e}, self.aim(h[-1], e, y)  # far = t - h
        for layer in reversed(range(last)):
            a = down(part, layer + 1, h[layer + 2])
            step = down_by(part, layer + 1, far).type_as(a)
            far = self.lead(h[layer + 1], activation(part, layer), a, step)
            missing = part.as_operand(far / -self.stepsize)
            deltas[layer] = forward.pull(layer, missing)  # (2)
        return deltas

    @final
    def adapt(self, part: Part, forward: ForwardPass, e: Tensor, deltas: Signals) -> None:
        for step in range(self.feedback_steps):
            drawn = hidden_noise(part, f"inverse {step}", e.shape[1])
            for layer, (h, xi) in enumerate(zip(forward.h[1:], drawn, strict=True), 1):
                outer, of_bias = self.inverse_descends(part, layer, h, xi, step)
                part.descend(f"B{layer - 1}", outer, rate=self.feedback_rate)
                part.descend(f"c{layer - 1}", of_bias, rate=self.feedback_rate)

    @final
    def up(self, part: Part, layer: int, h: Tensor) -> Tensor:
        """f_l(h) of a layer's inputs [R, B, n_inputs], without dropout; of the last one, h_L."""
        a, last = sent_up(part, layer, h), layer == len(part.layers) - 1
        return self.answer(part, a) if last else activation(part, layer).f(a)

    @final
    def reconstruction(self, part: Part, layer: int, h: Tensor, goal: Tensor) -> Descends:
        """What the inverse of ``layer`` descends: the gradient of ||g(f(h)) - goal||^2, given h and
        goal [R, B, n_inputs]."""
        above, back = self.up(part, layer, h), inverse(part.layers, layer)
        number, g = layer - 1, ACTIVATIONS[back.activation]
        a, _ = back.preactivation(above, part.operand(f"B{number}"), part.operand(f"c{number}"))
        again = g.f(a)  # (1)
        outer = Outer(back, above, g.pull(again - goal, a, again), h.shape[1] / 2)
        return outer, outer.of_bias()


def raised(part: Part, layer: int, h: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
    """f(h W (+ b)) and what becomes of it at h + far, less that [R, B, units]; of the last layer,
    a_L. In float32: the change may be small."""
    a = at_full(sent_up(part, layer, h))
    step = at_full(product(part.as_operand(far), part.operand(f"W{layer}")))
    if layer == len(part.layers) - 1:
        return a, step
    f = activation(part, layer)
    return f.f(a), change(f, a, step)


def activation(part: Part, layer: int) -> Activation:
    """A hidden layer's, which is the one of the inverse that leads to it."""
    return ACTIVATIONS[part.layers[layer].activation]


def down(part: Part, layer: int, h: Tensor) -> Tensor:
    """h V + c [R, B, n_inputs] of a layer's outputs h, in float32: bf16 has no room for targets."""
    h, V, c = part.as_operand(h), part.operand(f"B{layer - 1}"), part[f"c{layer - 1}"]
    return product(h, V, c) if h.dtype == c.dtype else product(h, V) + c


def down_by(part: Part, layer: int, far: Tensor) -> Tensor:
    """far V [R, B, n_inputs] of a difference of a layer's outputs."""
    return product(part.as_operand(far), part.operand(f"B{layer - 1}"))


def change(f: Activation, a: Tensor, step: Tensor) -> Tensor:
    """f(a + step) - f(a); where rounding would leave little of that, f'(a) step."""
    before, near = f.f(a), step.abs() < torch.finfo(step.dtype).eps ** 0.5
    return torch.where(near, f.pull(step, a, before), f.f(a + step) - before)


def pulled(f: Activation, signal: Tensor, a: Tensor) -> Tensor:
    """signal ⊙ f'(a)."""
    return f.pull(signal, a, f.f(a))


def inverse(layers: tuple[Layer, ...], layer: int) -> Layer:
    """The inverse of ``layer``: its outputs come in, its inputs go out, (1)."""
    own = layers[layer]
    return Layer(own.fan_out, own.fan_in, layers[layer - 1].activation, bias_init="zeros")
