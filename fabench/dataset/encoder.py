"""The encoder problem: n patterns, in each of which one of n units is on.

    x_i = 1 if i is the pattern's number, else 0                     (1)

An epoch, training and test alike, is the n patterns, the same for all seeds; a pattern's number is
its label. With ``task=reconstruction`` and fewer hidden units (``model.hidden=[2]`` for n = 4: the
4-2-4 encoder) a network must find a code for them.

Reference: D. H. Ackley, G. E. Hinton, T. J. Sejnowski, "A learning algorithm for Boltzmann
machines", Cognitive Science 9, 1985, section 4.
"""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.dataset.base.drawn import DrawnDataset
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Encoder(DrawnDataset):
    name: str
    n: Annotated[int, Field(ge=2)]

    fresh = False

    @property
    def n_inputs(self) -> int:
        return self.n

    @property
    def within_0_and_1(self) -> bool:
        return True

    n_train = n_test = n_classes = n_inputs

    def draw(
        self, seed: int, stream: str, epoch: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return np.eye(self.n, dtype=np.float32), np.arange(self.n)  # (1)
