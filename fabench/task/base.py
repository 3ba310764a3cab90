"""What every task is: which items make an example, what its target is, how it is scored.

And losses: the value per example, and the error e, its gradient at the output's pre-activation.

Axes: R rows, S data streams (one a seed), N examples, B batch, C outputs, k items (images or
vectors) an example.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax, softplus


@dataclass(frozen=True)
class Loss:
    """What an output a [R, B, C] costs, given the target y [R, B, C].

    value(a, y): the loss of every example [R, B]; error(a, y): e, its gradient at a [R, B, C];
    prediction(a): what it says that y is [R, B, C].
    """

    value: Callable[[Tensor, Tensor], Tensor]
    error: Callable[[Tensor, Tensor], Tensor]
    prediction: Callable[[Tensor], Tensor]


BINARY_CROSS_ENTROPY = Loss(
    value=lambda a, y: torch.lerp(softplus(a), softplus(-a), y).sum(-1),  # (1)
    error=lambda a, y: torch.sigmoid(a) - y,  # (2)
    prediction=torch.sigmoid,
)
"""Sigmoid outputs with cross-entropy, from the logits: stable for any a, y in [0, 1].

    loss = sum_c (1 - y_c) log(1 + exp(a_c)) + y_c log(1 + exp(-a_c))    (1)
    e = sigmoid(a) - y                                                   (2)

Demirbilek 2021, appendix A.
"""

SOFTMAX_CROSS_ENTROPY = Loss(
    value=lambda a, y: -(y * log_softmax(a, -1)).sum(-1),  # (1)
    error=lambda a, y: log_softmax(a, -1).exp() - y,  # (2)
    prediction=lambda a: log_softmax(a, -1).exp(),
)
"""A softmax output with cross-entropy, from the logits: stable for any a; y >= 0, of sum 1 over C.

    loss = -sum_c y_c log softmax(a)_c    (1)
    e = softmax(a) - y                    (2)
"""

SQUARED_ERROR = Loss(
    value=lambda a, y: (a - y).square().sum(-1) / 2,  # (2)
    error=lambda a, y: a - y,  # (1)
    prediction=lambda a: a,
)
"""Half the squared error of a linear output.

    e = a - y               (1)
    loss = sum_c e_c^2 / 2  (2)
"""

SIGMOID_SQUARED_ERROR = Loss(
    value=lambda a, y: (torch.sigmoid(a) - y).square().sum(-1) / 2,  # (1)
    error=lambda a, y: (torch.sigmoid(a) - y) * torch.sigmoid(a) * torch.sigmoid(-a),  # (2)
    prediction=torch.sigmoid,
)
"""Half the squared error of sigmoid outputs.

    loss = sum_c (sigmoid(a_c) - y_c)^2 / 2                                   (1)
    e = (sigmoid(a) - y) ⊙ sigmoid'(a),  sigmoid'(a) = sigmoid(a) sigmoid(-a) (2)

Lillicrap et al. 2016, arXiv:1411.0247 (MNIST).
"""

LossName = Literal[
    "softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "sigmoid_squared_error"
]

LOSSES: dict[str, Loss] = {
    "softmax_cross_entropy": SOFTMAX_CROSS_ENTROPY,
    "sigmoid_cross_entropy": BINARY_CROSS_ENTROPY,
    "squared_error": SQUARED_ERROR,
    "sigmoid_squared_error": SIGMOID_SQUARED_ERROR,
}
"""The losses of a classifier, by the name that a configuration gives them."""


class Task(ABC):
    """Examples are rows of an index table into the items: nothing is ever materialised."""

    name: str
    score: ClassVar[Literal["accuracy", "nse"]] = "accuracy"  # nse: normalized squared error
    label_smoothing: float = 0.0  # of a classifier

    @property
    @abstractmethod
    def items_per_example(self) -> int:
        """How many items one example consists of."""

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """How many outputs the network has."""

    @property
    @abstractmethod
    def chance(self) -> float:
        """The score of a guess that knows the targets' distribution only; classes are thought to
        be equally frequent."""

    @abstractmethod
    def table(self, rng: Generator, n_items: int) -> NDArray[np.int64]:
        """One epoch's examples [N, k]: indices of items."""

    def relabel(self, labels: Tensor, rng: Generator) -> Tensor:
        """The labels [M] of one stream's items as this task sees them: here, as they are.

        ``rng`` is a function of seed and split, the same in every epoch.
        """
        return labels

    @abstractmethod
    def targets(self, labels: Tensor) -> Tensor:
        """Targets [..., C] as float32 from the labels of an example's items, [..., k] (a teacher's
        targets: [..., k, C])."""

    @property
    @abstractmethod
    def objective(self) -> Loss:
        """What an output [R, B, C] costs, given y [R, B, C]."""

    def classes(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor] | None:
        """Of every example the number of the class that the output [R, B, C] names, and that of its
        own [R, B]; None where an example is of no class."""
        return None

    def correct(self, output: Tensor, y: Tensor) -> Tensor | None:
        """Which examples [R, B] the output [R, B, C] gets right (bool); None in regression."""
        classes = self.classes(output, y)
        return None if classes is None else classes[0] == classes[1]

    def variance(self, y: Tensor) -> Tensor | None:
        """In regression the variance [R] of targets [R, N, C], summed over C, else None."""
        return None


class SingleItemTask(Task):
    """An example is one item; an epoch is a permutation of the items."""

    @final
    @property
    def items_per_example(self) -> int:
        return 1

    @final
    def table(self, rng: Generator, n_items: int) -> NDArray[np.int64]:
        return rng.permutation(n_items)[:, None]
