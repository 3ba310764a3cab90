"""Rules that send a teaching signal to every layer.

Axes: R rows, B batch, I fan-in, O fan-out, C outputs. Layers are counted from 0, L of them.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import final

from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import DescentRule, LazyRule, keep_statistics, teach
from fabench.model.layer.convolution import Convolution
from fabench.model.layer.network import ForwardPass, Layer, is_chain

Signals = dict[int, Tensor]
"""Teaching signals delta_l [R, B, units of l], by layer."""


class SignalRule(DescentRule):
    """A rule that makes a teaching signal for each layer from the output error: layer l descends
    the batch mean of h[l]^T delta[l], for a convolution summed over its places."""

    @abstractmethod
    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        """delta_l [R, B, units] of every layer that the rule sends one.

        ``e`` [R, B, C] is the gradient of each example's loss with respect to the output's
        pre-activation a_L, and the last layer's delta; ``y`` [R, B, C] the targets, as operands.
        """

    def adapt(self, part: Part, forward: ForwardPass, e: Tensor, deltas: Signals) -> None:
        """Let the rule's own parameters descend, before the weights do."""

    def adapt_to_targets(
        self, part: Part, forward: ForwardPass, e: Tensor, y: Tensor, deltas: Signals
    ) -> None:
        """``adapt`` for what needs the targets y [R, B, C], operands, too; it may change what the
        weights will descend."""
        self.adapt(part, forward, e, deltas)

    def teaches(self, part: Part) -> bool:
        """Whether the weights learn in this step: not while ``adapt`` prepares for it."""
        return True

    @final
    def outputs(self, part: Part, x: Tensor) -> Tensor:
        return part.forward(x).output

    @final
    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        forward, e, deltas = self._send(part, x, y)
        if part.adversarial and 0 in deltas:
            error = forward.back(0, deltas[0], part.operand("W0").mT).flatten(2)
            x = part.as_operand(x + part.adversarial * error.sign())
            forward, e, deltas = self._send(part, x, y)
        self.adapt_to_targets(part, forward, e, part.as_operand(y), deltas)
        if self.teaches(part):
            for layer, delta in sorted(deltas.items()):
                if part.layers[layer].trained:
                    teach(part, layer, forward.outer(layer, delta))
                    for name, slope in forward.normalization_slopes(layer).items():
                        part.descend(name, slope)
        keep_statistics(part, forward)
        return forward.output

    def _send(self, part: Part, x: Tensor, y: Tensor) -> tuple[ForwardPass, Tensor, Signals]:
        forward = part.forward(x, training=True)
        e = part.error(forward.output, y)
        return forward, e, self.teaching_signals(e, part.as_operand(y), forward, part)


def transposed(W: Sequence[Tensor]) -> dict[int, Tensor]:
    """What backpropagation carries signals by: W_l^T [R, O, I], of every layer but the first."""
    return {layer: w.mT for layer, w in enumerate(W) if layer}


class FrozenFeatures(LazyRule, SignalRule):
    """Only the last layer learns: fixed features under a linear read-out."""

    @final
    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        return {len(forward.layers) - 1: e}


def dense_only(layers: Sequence[Layer]) -> str | None:
    """The refusal of a rule that is not defined for convolutions."""
    convolutional = any(isinstance(layer, Convolution) for layer in layers)
    return "is not defined for convolutions" if convolutional else None


def no_sums(layers: Sequence[Layer]) -> str | None:
    """The refusal of a rule that is defined for layers one after the other, without more."""
    if any(layer.batch_norm for layer in layers):
        return "is not defined for normalised layers"
    return None if is_chain(layers) else "is not defined for sums of layers"


def no_dropout(layers: Sequence[Layer]) -> str | None:
    """The refusal of a rule that is not defined for dropout."""
    dropped = any(layer.input_dropout for layer in layers)
    return "is not defined for dropout" if dropped else None


def chain_only(layers: Sequence[Layer]) -> str | None:
    """The refusal of a rule that is defined for dense layers one after the other, without more."""
    return no_sums(layers) or dense_only(layers)
