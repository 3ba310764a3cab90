"""What every scheme of parallel SGD is, and its two families.

Axes: R rows, I fan-in, O fan-out. x: the centre's parameters, p: the number of workers.

Parallel SGD is simulated: in every training step, a batch, one worker finishes a step of its own.
Each round of p steps is a permutation of the workers, drawn from the row's seed: between two steps
of a worker others take 0 to 2p - 2. All workers are so equally fast, and have taken equally many
steps when a round ends.

A worker has its own copy of all parameters that descend: there the learning rule computes, and from
there the optimizer's step goes; then worker and centre exchange. Between steps the centre stands in
the population's tensors: it is what is tested and saved. What a rule puts without the optimizer
(running statistics) is shared by all workers. Exchanges are elementwise: they see one parameter at
a time, of all rows.
"""

from abc import ABC, abstractmethod
from typing import final

from torch import Tensor

from fabench.optimizer.base import Optimizer, State


class ParallelScheme(ABC):
    """A subclass is a frozen pydantic dataclass; its fields are the scheme's settings, which all
    rows share."""

    name: str

    def refusal(self, optimizer: Optimizer) -> str | None:
        """Why the scheme cannot work with such an optimizer, to follow its name; None where it
        can."""
        return None

    def optimizer(self, optimizer: Optimizer) -> Optimizer:
        """What takes the steps in the place of the ``optimizer`` that was chosen."""
        return optimizer

    def steps_of_optimizer(self, t: int | Tensor) -> int | Tensor:
        """Which of its steps an optimizer takes in the training's step ``t``, from 1; a tensor []
        where t is one."""
        return t


class WorkerScheme(ParallelScheme):
    """A scheme of several workers."""

    workers: int

    def owned(self, state: State) -> list[str]:
        """The names in an optimizer's ``state`` of what every worker has its own of."""
        return []

    @abstractmethod
    def initial_state(self, x: Tensor) -> State:
        """What a worker has at the start, of a parameter's first values x: tensors [R, I, O]."""

    @abstractmethod
    def position(self, own: State) -> Tensor:
        """Where a worker that has ``own`` computes and starts its step [R, I, O]."""

    @abstractmethod
    def exchange(self, x: Tensor, own: State, moved: Tensor, n: int) -> tuple[Tensor, State]:
        """The centre and what the worker has after its step number ``n``, from 1, which took it
        from its position to ``moved`` [R, I, O], and the exchange. Changes no argument."""


class DelayedScheme(WorkerScheme):
    """One optimizer for all: a worker's step reaches the centre late, computed at what it read.

    x <- x + (x_w' - x_w)                                            (1)
    x_w <- x                                                         (2)

    x_w: what the worker had read, x_w': that after the optimizer's step.
    """

    @final
    def initial_state(self, x: Tensor) -> State:
        return {"read": x}

    @final
    def position(self, own: State) -> Tensor:
        return own["read"]

    @final
    def exchange(self, x: Tensor, own: State, moved: Tensor, n: int) -> tuple[Tensor, State]:
        x = moved + (x - own["read"])  # (1): the optimizer's step to the last digit if x = x_w
        return x, {"read": x}  # (2)


class LocalScheme(WorkerScheme):
    """Every worker has an optimizer of its own, whose steps are the worker's."""

    @final
    def owned(self, state: State) -> list[str]:
        return list(state)

    @final
    def steps_of_optimizer(self, t: int | Tensor) -> int | Tensor:
        return (t - 1) // self.workers + 1
