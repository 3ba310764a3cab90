"""Rules whose networks settle: freely, then under the influence of the target.

Axes: R rows, B batch, I inputs, C outputs. Layers are counted from 0, L of them.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import DescentRule, sent_up, teach
from fabench.learning_rule.base.signal import chain_only, no_dropout
from fabench.model.layer.kernel import at_full, plus
from fabench.model.layer.network import ACTIVATIONS, Layer, Outer

States = list[Tensor]
"""The activity of every layer [R, B, units], in float32: differences of states are small. Of the
last layer its pre-activation, or the target in whose place it stands."""

Feedback = Callable[[int, Tensor], Tensor]
"""What a layer, by its number, sends the layer below [R, B, n_inputs], given its activities."""


class SettlingRule(DescentRule):
    """A rule that learns from the difference of two states in which its network comes to rest; its
    answer, too, is a state."""

    @abstractmethod
    def relax(
        self, part: Part, drive: Tensor, states: States | None = None, target: Tensor | None = None
    ) -> States:
        """The states to which the network settles from ``states`` (None: those of its own start),
        with the ``target`` [R, B, C] acting on it or freely.

        ``drive`` [R, B, units]: what the inputs, which stay as they are, send the first layer.
        """

    @abstractmethod
    def contrast(
        self, part: Part, x: Tensor, minus: States, plus: States
    ) -> dict[int, tuple[Outer, Tensor]]:
        """What every layer's weights descend, the difference of two states' Hebbian terms, and its
        biases [R, 1, units]; x [R, B, I] are the inputs."""

    def pair(self, part: Part, drive: Tensor, free: States, y: Tensor) -> tuple[States, States]:
        """The two states that ``contrast`` compares: here the free and the driven one."""
        return free, self.relax(part, drive, free, y)

    def adapt(self, part: Part, minus: States, plus: States) -> None:
        """Let the rule's own parameters descend, before the weights do."""

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return no_dropout(layers) or chain_only(layers)

    @final
    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return self.relax(part, sent_up(part, 0, x))[-1]

    @final
    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        drive = sent_up(part, 0, x)
        free = self.relax(part, drive)
        minus, plus = self.pair(part, drive, free, y)
        self.adapt(part, minus, plus)
        for layer, (outer, of_bias) in self.contrast(part, x, minus, plus).items():
            if part.layers[layer].trained:
                teach(part, layer, outer, of_bias)
        return free[-1]


# -- States ----------------------------------------------------------------------------------


def feedforward(part: Part, drive: Tensor) -> States:
    """The states without feedback."""
    states = [at_full(drive)]
    for k in range(1, len(part.layers)):
        states[-1] = activity(part, k - 1, states[-1])
        states.append(at_full(sent_up(part, k, states[-1])))
    return states


def clamped(
    part: Part,
    drive: Tensor,
    states: States | None,
    target: Tensor | None,
    steps: int,
    dt: float | Tensor,
    feedback: Feedback,
    gain: float | Tensor = 1.0,
) -> States:
    """Settle from ``states`` (None: ``feedforward``): so many steps of ``dt``, in which outputs
    answer freely, or are clamped to the ``target`` [R, B, C]."""
    *hidden, output = states or feedforward(part, drive)
    for _ in range(steps):
        s = [*hidden, part.prediction(output) if target is None else target]
        hidden = moved(part, drive, s, dt, feedback, gain)
        if target is None:
            output = torch.lerp(output, arriving(part, drive, s, len(hidden)), dt)
    return [*hidden, output if target is None else target]


def moved(
    part: Part,
    drive: Tensor,
    s: States,
    dt: float | Tensor,
    feedback: Feedback,
    gain: float | Tensor = 1.0,
) -> list[Tensor]:
    """The hidden layers' activities after one step, all at once: s + dt (f(what arrives) - s), from
    above ``gain`` times the feedback."""
    found = []
    for k in range(len(s) - 1):
        below, above = arriving(part, drive, s, k), at_full(feedback(k + 1, s[k + 1]))
        a = plus(below, gain, above)
        found.append(torch.lerp(s[k], activity(part, k, a), dt))
    return found


def arriving(part: Part, drive: Tensor, s: States, layer: int) -> Tensor:
    """What arrives at a layer from below [R, B, units], its biases with it."""
    return at_full(sent_up(part, layer, s[layer - 1]) if layer else drive)


def activity(part: Part, layer: int, a: Tensor) -> Tensor:
    """f(a) [R, B, units] of a hidden layer."""
    return ACTIVATIONS[part.layers[layer].activation].f(a)


# -- Differences -----------------------------------------------------------------------------


def hebbian_difference(
    part: Part, layer: int, x: Tensor, minus: States, plus: States, scale: float | Tensor
) -> tuple[Outer, Tensor]:
    """(s^-_{k-1}^T s^-_k - s^+_{k-1}^T s^+_k) / scale, s_{k-1} being below layer k (x below the
    first), and (s^-_k - s^+_k) / scale [R, 1, units]: batch means.

    They come from means and differences of the two states, which are float32 and may be close.
    """
    d, h = (minus[layer] - plus[layer]) / scale, x  # x is in both phases
    delta = d
    if layer:  # s^- s^- - s^+ s^+ = mean difference + difference mean
        s, t = minus[layer - 1], plus[layer - 1]
        h = torch.cat([(s + t) / 2, (s - t) / scale], 1)
        delta = torch.cat([d, (minus[layer] + plus[layer]) / 2], 1)
    outer = Outer(part.layers[layer], part.as_operand(h), part.as_operand(delta), x.shape[1])
    return outer, d.mean(1, keepdim=True)
