"""Rules whose networks settle: freely, then under the influence of the target.

Axes: R runs, B batch, C outputs. Layers are counted from 0, L of them.
"""

from abc import abstractmethod
from typing import final

from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import DescentRule, teach
from fabench.model.layer.network import Outer

States = list[Tensor]
"""The activity of every layer [R, B, units], operands; of the last layer its pre-activation."""


class SettlingRule(DescentRule):
    """A rule that learns from the difference of two states in which its network comes to rest; its
    answer, too, is a state."""

    @abstractmethod
    def relax(
        self, part: Part, x: Tensor, states: States | None = None, target: Tensor | None = None
    ) -> States:
        """The states to which the network settles on x [R, B, I] from ``states`` (None: rest), with
        the ``target`` [R, B, C] acting on it or freely."""

    @abstractmethod
    def contrast(self, part: Part, x: Tensor, free: States, driven: States) -> dict[int, Outer]:
        """What every layer's weights descend: the difference of two states' Hebbian terms."""

    @final
    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return self.relax(part, x)[-1]

    @final
    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        free = self.relax(part, x)
        driven = self.relax(part, x, free, part.as_operand(y))
        for layer, outer in self.contrast(part, x, free, driven).items():
            if part.layers[layer].trained:
                teach(part, layer, outer)
        return free[-1]
