"""Rules that send the error back through feedback matrices.

Axes: R rows, B batch, I fan-in, O fan-out, C outputs. Layers are counted from 0, L of them.
"""

from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce
from typing import final

from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signal import SignalRule, Signals, chain_only
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.network import ForwardPass, Layer
from fabench.model.layer.parameter import Moves, Parameter


class FeedbackRule(SignalRule):
    """A rule that sends the error back through feedback matrices of its own, B0, B1, ..."""

    @property
    def has_feedback(self) -> bool:
        return True

    @abstractmethod
    def feedback_shapes(self, layers: tuple[Layer, ...]) -> list[tuple[int, int]]:
        """Shape [from, to] of each feedback matrix: it carries a signal of ``from`` values to
        ``to`` units."""

    def learned_feedback(self, layers: tuple[Layer, ...]) -> Sequence[int]:
        """The numbers of the feedback matrices that learn: those that ``adapt`` descends."""
        return ()

    def put_feedback(self, layers: tuple[Layer, ...]) -> Sequence[int]:
        """The numbers of those that ``adapt`` puts, without the optimizer: draws again, say."""
        return ()

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

    def other_parameters(self, layers: tuple[Layer, ...]) -> dict[str, Parameter]:
        """The rule's own parameters besides the matrices, by name."""
        return {}

    @final
    def parameters(self, layers: tuple[Layer, ...], init_of_B: InitOfB) -> dict[str, Parameter]:
        moves: dict[int, Moves] = dict.fromkeys(self.learned_feedback(layers), "descent")
        moves |= dict.fromkeys(self.put_feedback(layers), "put")
        matrices = {
            f"B{number}": Parameter(
                (source, to),
                init_of_B.feedback(source, to),
                f"feedback {number}",
                moves.get(number, "never"),
                "init_of_B.scale",
            )
            for number, (source, to) in enumerate(self.feedback_shapes(layers))
        }
        return matrices | self.other_parameters(layers)


class AntiparallelFeedback(FeedbackRule):
    """A matrix B_{l+1} [n_{l+1}, n_l] leads back where W_{l+1} leads forward; weight alignment:
    cos(B_{l+1}, W_{l+1}^T) where a rule has no other."""

    @final
    def feedback_shapes(self, layers: tuple[Layer, ...]) -> list[tuple[int, int]]:
        return [(layer.fan_out, layer.fan_in) for layer in layers[1:]]

    @final
    def transported(self, W: list[Tensor]) -> list[Tensor]:
        return [w.mT for w in W[1:]]

    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        return standing_in(B, W)


class LayerwiseFeedback(AntiparallelFeedback):
    """The error goes back layer by layer, through B_{l+1}, or through what a rule makes of B_{l+1}
    and W_{l+1}, in the place of W_{l+1}^T."""

    @abstractmethod
    def backward(self, part: Part) -> list[Tensor]:
        """The feedback [R, n_{l+1}, n_l] that stands in for W_{l+1}^T, for l+1 = 1, 2, ..."""

    @final
    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        return forward.carry(e, dict(enumerate(self.backward(part), 1)))


def followed(layers: Sequence[Layer]) -> list[int]:
    """The numbers l = 0, 1, ... of the feedback whose W_{l+1} learns: what takes steps like W's
    stays where W does."""
    return [number for number, layer in enumerate(layers[1:]) if layer.trained]


def standing_in(B: Sequence[Tensor], W: Sequence[Tensor]) -> list[tuple[Tensor, Tensor] | None]:
    """The pairs of feedback [R, n_{l+1}, n_l] that stands in for W_{l+1}^T."""
    return [(b, w.mT) for b, w in zip(B, W[1:], strict=True)]


class DirectFeedback(FeedbackRule):
    """A matrix B_l [C, n_l] of its own brings every hidden layer its signal.

    Weight alignment, with W_{l+1} [n_l, n_{l+1}]:
        last hidden layer   cos(B_{L-1}, W_L^T)
        below               cos(B_l^T B_{l+1}, W_{l+1}), layer l+1 dense

    Reference: M. Refinetti, S. d'Ascoli, R. Ohana, S. Goldt, "Align, then memorise", 2021,
    arXiv:2011.12428, section 3.
    """

    @final
    def feedback_shapes(self, layers: tuple[Layer, ...]) -> list[tuple[int, int]]:
        return [(layers[-1].units, layer.units) for layer in layers[:-1]]

    @final
    def transported(self, W: list[Tensor]) -> list[Tensor]:
        return [downstream(W, layer) for layer in range(len(W) - 1)]

    @final
    def transport_refusal(self, layers: tuple[Layer, ...]) -> str | None:
        return chain_only(layers)

    @final
    def alignment_pairs(
        self, W: list[Tensor], B: list[Tensor]
    ) -> list[tuple[Tensor, Tensor] | None]:
        return direct_pairs(W, B)


def direct_pairs(W: Sequence[Tensor], B: Sequence[Tensor]) -> list[tuple[Tensor, Tensor] | None]:
    """The pairs of direct feedback B_l [R, C, n_l]: see ``DirectFeedback``."""
    pairs: list[tuple[Tensor, Tensor] | None] = []
    for below, above, w in zip(B, B[1:], W[1:], strict=False):
        fits = (below.shape[2], above.shape[2]) == w.shape[1:]  # a product may take gigabytes
        pairs.append((below.mT @ above, w) if fits else None)
    return [*pairs, (B[-1], W[-1].mT) if B[-1].shape == W[-1].mT.shape else None]


def downstream(W: Sequence[Tensor], layer: int) -> Tensor:
    """(W_{l+1} ... W_L)^T [R, C, n_l]: the linear path from a hidden layer to the output, back."""
    return reduce(Tensor.matmul, W[layer + 1 :]).mT


def direct(signal: Tensor, forward: ForwardPass, B: Sequence[Tensor]) -> Signals:
    """(signal B_l) ⊙ f'(a_l) of every hidden layer, signal [R, B, C]."""
    return {layer: forward.pull(layer, signal @ b) for layer, b in enumerate(B)}


def mean_outer(delta: Tensor, h: Tensor) -> Tensor:
    """delta^T h / B [R, O, I]: the outer product of two signals, its batch mean."""
    return delta.mT @ h / h.shape[1]
