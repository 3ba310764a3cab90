"""What every optimizer is: hyper-parameters, a state, and an in-place update.

Axes: R rows, I fan-in, O fan-out.
"""

from abc import ABC, abstractmethod
from types import SimpleNamespace
from typing import ClassVar

from torch import Tensor

State = dict[str, Tensor]


# In place and in one sweep: every sweep over a weight's elements is time.


def add_scaled_(x: Tensor, scale: float | Tensor, y: Tensor) -> None:
    """x <- x + scale y"""
    if isinstance(scale, Tensor):
        x.addcmul_(scale, y)
    else:
        x.add_(y, alpha=scale)


def add_product_(x: Tensor, scale: float | Tensor, y: Tensor, z: Tensor) -> None:
    """x <- x + scale y z"""
    if isinstance(scale, Tensor):
        x.addcmul_(scale * y, z)
    else:
        x.addcmul_(y, z, value=scale)


def add_ratio_(x: Tensor, scale: float | Tensor, y: Tensor, z: Tensor) -> None:
    """x <- x + scale y / z"""
    if isinstance(scale, Tensor):
        x.addcdiv_(scale * y, z)
    else:
        x.addcdiv_(y, z, value=scale)


def bias_corrections(t: int | Tensor, h: SimpleNamespace) -> SimpleNamespace:
    """``h`` and what m and the root of v, running means that start at 0, are divided by in step
    ``t``: of_m = 1 - beta1^t, of_root = sqrt(1 - beta2^t)."""
    return SimpleNamespace(**vars(h), of_m=1 - h.beta1**t, of_root=(1 - h.beta2**t) ** 0.5)


def add_adams_step_(W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
    """Equations (1) to (5) of adam.py, given ``bias_corrections``."""
    m, v = state["first_moment"], state["second_moment"]
    m.lerp_(g, 1 - h.beta1)  # (1)
    v.lerp_(g.square(), 1 - h.beta2)  # (2)
    root = v.sqrt().add_(h.epsilon * h.of_root)  # (4): sqrt(v_hat) + epsilon, times of_root
    add_ratio_(W, -h.lr * h.of_root / h.of_m, m, root)  # (3), (5)


class Optimizer(ABC):
    """Turns gradients into new weights.

    A subclass is a frozen pydantic dataclass. Its float fields (lr, momentum, ...) are scalars
    of which every row of a population has its own; its other fields are shared by all rows.
    Updates are elementwise, so that they may be applied to any block of a weight: one row, a
    slice of a row, or the whole [R, I, O] tensor. What depends on the step's number alone is
    computed before, in ``at_step``.
    """

    name: str
    lr: float

    linear: ClassVar[bool] = False
    """Whether steps are linear in the gradients."""

    @abstractmethod
    def initial_state(self, W: Tensor) -> State:
        """The state before the first step: tensors of W's shape by name, {} if there is none."""

    @property
    def counts_epochs(self) -> bool:
        """Whether ``at_step`` knows a step by the number of its epoch, not by its own."""
        return False

    def at_step(self, t: int | Tensor, h: SimpleNamespace) -> SimpleNamespace:
        """The numbers that all elements share in step ``t``.

        ``h`` holds the float fields: each a float, or a tensor [R, 1, 1] that broadcasts against W.
        ``t`` is 1 for the first step; it is a tensor [] where the step is a CUDA graph.
        """
        return h

    @abstractmethod
    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        """Take a step, changing ``W`` and ``state`` in place.

        W, g and the tensors in ``state`` share one shape and one type; ``g``, the gradient, is left
        as it is.
        ``h`` is what ``at_step`` returned, or that as tensors.
        """
