"""Sparse parity: the parity of k unknown bits out of n.

    x ~ U({-1, 1}^n)                                                 (1)
    y = 1 if the product of x_i over i in S is -1, else 0            (2)

S: k of the n inputs, drawn by the seed; k is the run's own (``k=3``). Every epoch is a fresh
sample, so nothing can be memorised.

Reference: A. Daniely, E. Malach, "Learning parities with neural networks", 2020, arXiv:2002.07400,
section 1 (uniform inputs, the case that is hard for linear methods of polynomial size).
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.dataset.base.drawn import DrawnDataset
from fabench.randomness import generator
from fabench.schema import STRICT, Count, UserError


@dataclass(frozen=True, config=STRICT)
class SparseParity(DrawnDataset):
    name: str
    n: Annotated[int, Field(ge=1)]
    k: Count
    n_train: Count
    n_test: Count

    n_classes = 2

    def __post_init__(self) -> None:
        if self.k > self.n:
            raise UserError(f"k={self.k}: dataset.n={self.n} bits have no {self.k} relevant ones.")

    @property
    def n_inputs(self) -> int:
        return self.n

    def draw(
        self, seed: int, stream: str, epoch: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        n = self.size(stream)
        x = 1 - 2 * generator(seed, f"bits {stream}", epoch).integers(2, size=(n, self.n))  # (1)
        return x.astype(np.float32), (x[:, self.relevant(seed)].prod(1) < 0).astype(np.uint8)  # (2)

    def relevant(self, seed: int) -> NDArray[np.int64]:
        """S, the inputs that count."""
        return generator(seed, "relevant bits").choice(self.n, self.k, replace=False)
