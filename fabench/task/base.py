"""What every task is: which items make an example, what its target is, how it is scored.

Axes: R runs, S data streams (one a seed), N examples, B batch, C outputs, k items (images or
vectors) an example.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from fabench.loss import Loss


class Task(ABC):
    """Examples are rows of an index table into the items: nothing is ever materialised."""

    name: str
    score: ClassVar[Literal["accuracy", "nse"]] = "accuracy"  # nse: normalized squared error

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
        """The score of a guess that knows the targets' distribution only."""

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

    def correct(self, output: Tensor, y: Tensor) -> Tensor | None:
        """Which examples [R, B] the output [R, B, C] gets right (bool); None in regression."""
        return None

    def variance(self, y: Tensor) -> Tensor | None:
        """In regression the variance [R] of targets [R, N, C], summed over C, else None."""
        return None
