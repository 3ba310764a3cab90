"""Plain mini-batch gradient descent.

    W <- W - lr g                                                    (1)

lr: learning rate; g: the batch-mean gradient.

Reference: S. Ruder, "An overview of gradient descent optimization algorithms", 2016,
arXiv:1609.04747, section 2.3.
"""

from types import SimpleNamespace
from typing import ClassVar

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_scaled_
from fabench.schema import STRICT, Rate


@dataclass(frozen=True, config=STRICT)
class Sgd(Optimizer):
    name: str
    lr: Rate

    linear: ClassVar[bool] = True

    def initial_state(self, W: Tensor) -> State:
        return {}

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        add_scaled_(W, -h.lr, g)  # (1)
