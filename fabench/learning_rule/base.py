"""What every learning rule is: it turns the output error into teaching signals.

Axes: R runs, B batch, I fan-in, O fan-out, C outputs. Layers are counted from 0, L = len(W).

Everything else is shared: the forward pass, the gradient of layer l (h[l]^T delta[l] / B, for a
convolution summed over its places), the optimizer, the data and the metrics. To add a rule, write
``learning_rule/<name>.py`` with a class of the same name, ``conf/learning_rule/<name>.yaml`` and
``tests/learning_rule/test_<name>.py``.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from fabench.convolution import Convolution
from fabench.network import ForwardPass, Layer

Signals = list[Tensor | None]


class LearningRule(ABC):
    """A subclass is a frozen pydantic dataclass; its fields are the rule's settings."""

    name: str
    uses_noise: ClassVar[bool] = False
    """Whether it draws ``forward.noise``: on the CPU, so its step is no CUDA graph."""

    @abstractmethod
    def teaching_signals(
        self, e: Tensor, forward: ForwardPass, W: list[Tensor], B: list[Tensor]
    ) -> Signals:
        """One delta_l [R, B, O] per layer; None where the rule leaves the layer as it is.

        ``e`` [R, B, C] is the gradient of each example's loss with respect to the output's
        pre-activation a_L; ``W[l]`` [R, I, O]; ``B`` the feedback matrices, [] without feedback.
        The last layer's delta is e.
        """

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        """Why the rule cannot train such a network, to follow its name; None where it can."""
        return None


class FeedbackRule(LearningRule):
    """A rule that sends the error back through feedback matrices of its own."""

    learns_feedback: ClassVar[bool] = False
    """Whether they learn: then the optimizer updates B from ``feedback_gradients`` as it does W."""

    @abstractmethod
    def feedback_shapes(self, layers: tuple[Layer, ...]) -> list[tuple[int, int]]:
        """Shape [from, to] of each feedback matrix: it carries a signal of ``from`` values to
        ``to`` units."""

    @abstractmethod
    def transported(self, W: list[Tensor]) -> list[Tensor]:
        """The feedback that backpropagation would use: for ``init_of_B=transported``."""

    def transport_refusal(self, layers: tuple[Layer, ...]) -> str | None:
        """Why there is no ``transported`` for such a network; None where there is."""
        return None

    @abstractmethod
    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        """Pairs of equally shaped matrices, feedback and what it stands in for, from the first
        hidden layer that has feedback: their cosine is the layer's weight alignment. None for a
        layer whose feedback stands in for no matrix."""

    def feedback_gradients(
        self,
        forward: ForwardPass,
        deltas: list[Tensor],
        e: Tensor,
        W: list[Tensor],
        B: list[Tensor],
    ) -> list[Tensor | None]:
        """What the optimizer descends for each B, [R, from, to]: a batch mean, or None where the
        matrix stays as it is. ``deltas`` are the teaching signals."""
        return [None] * len(B)


class LazyRule(LearningRule):
    """A rule that asks for hidden layers of its own kind (frozen features, fixed gates)."""

    @abstractmethod
    def hidden_layer(self, layer: Layer) -> Layer:
        """The layer that the rule puts in the place of the model's hidden ``layer``."""


def mean_outer(delta: Tensor, h: Tensor) -> Tensor:
    """delta^T h / B [R, O, I]: the outer product of two signals, its batch mean."""
    return delta.mT @ h / h.shape[1]


def dense_only(layers: tuple[Layer, ...]) -> str | None:
    """The refusal of a rule that is not defined for convolutions."""
    return "is not defined for convolutions" if convolutional(layers) else None


def convolutional(layers: tuple[Layer, ...]) -> bool:
    """Whether there is a convolution among the layers."""
    return any(isinstance(layer, Convolution) for layer in layers)


def output_only(e: Tensor, layers: tuple[Layer, ...]) -> Signals:
    """Only the last layer learns: random features under a linear read-out."""
    return [None] * (len(layers) - 1) + [e]
