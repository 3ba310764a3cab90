"""The shifter: a row of bits, and the same row shifted: by which of three shifts?

    x = (v, w),  w_{(i + s) mod n} = v_i                             (1)
    v_i = 1 with probability p, else 0;  s ~ U{-1, 0, 1}             (2)

v, w: n bits each, the 2n inputs; the label is s + 1. A bit by itself says nothing about s: pairs of
a v_i and a w_j do. A row may be what more than one shift makes of it, so some errors cannot be
avoided. Every epoch is a fresh sample.

Reference: G. E. Hinton, T. J. Sejnowski, "Learning and relearning in Boltzmann machines", Parallel
Distributed Processing 1, chapter 7, 1986 (the shifter problem: n = 8, p = 0.3, 24 hidden units).

Differences from the paper:
1. The shift is the class of inputs v, w; there any of the three groups is completed from others.
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.dataset.base.drawn import DrawnDataset
from fabench.randomness import generator
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class Shifter(DrawnDataset):
    name: str
    n: Annotated[int, Field(ge=3)]
    p: Annotated[float, Field(gt=0, lt=1)]
    n_train: Count
    n_test: Count

    n_classes = 3

    @property
    def n_inputs(self) -> int:
        return 2 * self.n

    @property
    def within_0_and_1(self) -> bool:
        return True

    def draw(
        self, seed: int, stream: str, epoch: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        n = self.size(stream)
        rng = generator(seed, f"shifter {stream}", epoch)
        v, labels = rng.random((n, self.n)) < self.p, rng.integers(3, size=n)  # (2)
        before = (np.arange(self.n) - (labels[:, None] - 1)) % self.n
        w = np.take_along_axis(v, before, axis=1)  # (1)
        return np.concatenate([v, w], axis=1).astype(np.float32), labels.astype(np.uint8)
