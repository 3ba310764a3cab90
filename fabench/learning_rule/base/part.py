"""What a learning rule has to work with: some rows of a population, in one step.

Axes: R rows, B batch, I fan-in, O fan-out, C outputs. Layers are counted from 0.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from fabench.model.layer.network import ForwardPass, Layer, Outer


class Part(ABC):
    """The rule computes, the part carries out: it has the parameters, and changes them.

    Parameters have names: the network's W<l>, b<l> and G<l>, and the rule's own (see
    ``LearningRule.parameters``). Products are taken of operands, tensors in the run's number
    format.
    """

    layers: tuple[Layer, ...]
    t: int | Tensor
    """The step's number, from 1; a tensor [] where the step is a CUDA graph."""
    adversarial: float
    """Step of the inputs along their error's sign, on which the network then trains; 0: none."""

    @property
    @abstractmethod
    def epoch(self) -> int:
        """The epoch under way, from 1."""

    @abstractmethod
    def __getitem__(self, name: str) -> Tensor:
        """A parameter itself [R, I, O], float32: not to be changed."""

    @abstractmethod
    def operand(self, name: str) -> Tensor:
        """A parameter as an operand [R, I, O], as of its last change."""

    @abstractmethod
    def operands(self, kind: str) -> list[Tensor]:
        """The operands ``kind``0, ``kind``1, ..., as many as there are: "W", "B"."""

    @abstractmethod
    def as_operand(self, x: Tensor) -> Tensor:
        """Any tensor in the number format of operands."""

    @abstractmethod
    def forward(
        self, x: Tensor, training: bool = False, changed: Mapping[str, Tensor] | None = None
    ) -> ForwardPass:
        """x [R, B, I], an operand, on its way through the network; in training with dropout.

        ``changed``: values [R, I, O] that some parameters have in this pass, and only in it.
        """

    @abstractmethod
    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Each example's loss [R, B], float32, given the output and the targets y [R, B, C]."""

    @abstractmethod
    def error(self, output: Tensor, y: Tensor) -> Tensor:
        """e [R, B, C], an operand: the gradient of each example's loss with respect to the output
        [R, B, C], given the targets y [R, B, C]."""

    @abstractmethod
    def prediction(self, output: Tensor) -> Tensor:
        """What the output [R, B, C] says that y is, float32: its sigmoid, softmax, or itself."""

    @abstractmethod
    def noise(self, stream: str, shape: tuple[int, ...]) -> Tensor:
        """Numbers [R, *shape] ~ N(0, 1), an operand: a function of seed, stream and step."""

    @abstractmethod
    def drawn(self, stream: str, draw: Callable[[Generator], NDArray[Any]], number: int) -> Tensor:
        """What ``draw`` makes of every row's generator [R, ...]: a function of seed, stream and
        ``number``. It is kept until another number is asked for."""

    @abstractmethod
    def descend(self, name: str, g: Tensor | Outer, rate: float | Tensor = 1.0) -> None:
        """Take the optimizer's step with the gradient g, a batch mean, at ``rate`` (a float, or a
        tensor [R, 1, 1]) times its learning rate. Weight decay does not depend on ``rate``, unless
        it is a part of gradients in which the optimizer's steps are not linear."""

    @abstractmethod
    def put(self, name: str, value: Tensor) -> None:
        """Let the parameter be ``value``, without the optimizer. Raises UserError of one that never
        moves: it is not saved."""
