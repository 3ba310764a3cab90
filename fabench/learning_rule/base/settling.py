"""Rules whose networks settle: freely, then under the influence of the target.

Axes: R runs, B batch, I inputs, C outputs. Layers are counted from 0, L of them.
"""

from abc import abstractmethod
from typing import final

from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import DescentRule, teach
from fabench.model.layer.network import Outer

States = list[Tensor]
"""The activity of every layer [R, B, units], in float32: differences of states are small. Of the
last layer its pre-activation, or the target in whose place it stands."""


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
        self, part: Part, x: Tensor, free: States, driven: States
    ) -> dict[int, tuple[Outer, Tensor]]:
        """What every layer's weights descend, the difference of two states' Hebbian terms, and its
        biases [R, 1, units]; x [R, B, I] are the inputs."""

    @final
    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return self.relax(part, sent_up(part, 0, x))[-1]

    @final
    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        drive = sent_up(part, 0, x)
        free = self.relax(part, drive)
        driven = self.relax(part, drive, free, y)
        for layer, (outer, of_bias) in self.contrast(part, x, free, driven).items():
            if part.layers[layer].trained:
                teach(part, layer, outer, of_bias)
        return free[-1]


def sent_up(part: Part, layer: int, h: Tensor) -> Tensor:
    """h W (+ b) [R, B, units]: what activities h [R, B, n_inputs] below a layer send it."""
    own = part.layers[layer]
    b = None if own.bias_init is None else part.operand(f"b{layer}")
    return own.preactivation(part.as_operand(h), part.operand(f"W{layer}"), b)[0]


def sent_down(part: Part, layer: int, s: Tensor) -> Tensor:
    """s W^T [R, B, n_inputs]: what a layer's activities s [R, B, units] send the layer below."""
    return part.layers[layer].back(part.as_operand(s), part.operand(f"W{layer}").mT, None)
