"""The exclusive or: is an odd number of n bits on?

    y = (x_1 + ... + x_n) mod 2,  x in {0, 1}^n                      (1)

An epoch, training and test alike, is all 2^n patterns, the same for all seeds. Two bits (the
default) are the smallest problem that no network without hidden units solves; ``model.hidden=[2]``
is the 2-2-1 network. For ``task=parity`` (one output) or ``task=classification`` (two).

Reference: D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning internal representations by
error propagation", Parallel Distributed Processing 1, chapter 8, 1986 (exclusive or, parity).
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.dataset.base.drawn import DrawnDataset
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Xor(DrawnDataset):
    name: str
    n: Annotated[int, Field(ge=2, le=16)]

    fresh = False
    n_classes = 2

    @property
    def n_inputs(self) -> int:
        return self.n

    @property
    def within_0_and_1(self) -> bool:
        return True

    @property
    def n_patterns(self) -> int:
        """How many patterns there are."""
        return int(2**self.n)

    n_train = n_test = n_patterns

    def draw(
        self, seed: int, stream: str, epoch: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        bits = np.arange(self.n_patterns)[:, None] >> np.arange(self.n)[::-1] & 1
        return bits.astype(np.float32), (bits.sum(1) % 2).astype(np.uint8)  # (1)
