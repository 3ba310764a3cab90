"""Two Gaussians in the plane, one for each class.

    x ~ N(m, I_2),  m = (1, 1) or (-1, -1), each with probability 1/2 (1)

Label 0 is that of (1, 1). The training set is drawn once, not in every epoch. No classifier has
less than 7.9 % expected errors: those of the line x_1 + x_2 = 0, Phi(-sqrt(2)).

Reference: R. H. Eyono, "Learning to backpropagate", 2020, appendix C (where gradient trajectories
are studied with ``trainer=full_batch``).

Differences from the paper:
1. It does not say how many points there are.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from fabench.dataset.base.drawn import DrawnDataset
from fabench.randomness import generator
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class TwoGaussians(DrawnDataset):
    name: str
    n_train: Count
    n_test: Count

    fresh = False
    n_classes = 2

    @property
    def n_inputs(self) -> int:
        return 2

    def draw(
        self, seed: int, stream: str, epoch: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        n = self.size(stream)
        rng = generator(seed, f"two gaussians {stream}")
        labels = rng.integers(2, size=(n, 1))
        x = 1 - 2 * labels + rng.standard_normal((n, 2))  # (1)
        return x.astype(np.float32), labels[:, 0].astype(np.uint8)
