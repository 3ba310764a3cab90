"""Cluster data: nine discs on a grid in the plane, four of them of one class, five of the other.

    x = (1, c_1 + R cos T, c_2 + R sin T, u_1, ..., u_{d-3})          (1)
    R ~ U(0, Delta),  T ~ U(0, 2 pi),  u_i ~ U(-1/2, 1/2)

c: the centre of a random disc, coordinates Delta (1 + 3 i) - 1/2 for i = 0, 1, 2; Delta = 1/8, so
that neighbouring discs are one radius apart. Only two of the d inputs tell the class, and the
classes are not linearly separable. R is uniform, not the area.

Which four discs have label 0: of the 126 choices, every seed takes its own (seeds 0 to 125 take
each once), or ``zeros`` names them, 0 to 8, row by row. The training set is drawn once, not in
every epoch.

References: L. Chizat, F. Bach, "Implicit bias of gradient descent for wide two-layer neural
networks trained with the logistic loss", 2020, arXiv:2002.04486, numerical experiments; D. C.
Demirbilek, "The Dynamics of Learning Beyond Stochastic Gradient Descent", 2021, the random data
problem (its stored runs: ``zeros: [0, 5, 7, 8]``).
"""

from itertools import combinations
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.dataset.base.drawn import DrawnDataset
from fabench.randomness import generator
from fabench.schema import STRICT, Count

GRID, CLUSTERS, N_ZEROS = 3, 9, 4
RADIUS = 1 / (3 * GRID - 1)
LABELINGS = list(combinations(range(CLUSTERS), N_ZEROS))
Cluster = Annotated[int, Field(ge=0, lt=CLUSTERS)]


@dataclass(frozen=True, config=STRICT)
class Clusters(DrawnDataset):
    name: str
    d: Annotated[int, Field(ge=3)]
    n_train: Count
    n_test: Count
    zeros: Annotated[list[Cluster], Field(min_length=1)] | None

    n_classes = 2
    fresh = False

    @property
    def n_inputs(self) -> int:
        return self.d

    def draw(
        self, seed: int, stream: str, epoch: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        n = self.size(stream)
        rng = generator(seed, f"clusters {stream}")
        cluster = rng.integers(CLUSTERS, size=n)
        centre = RADIUS * (1 + 3 * np.stack([cluster // GRID, cluster % GRID], axis=1)) - 0.5
        radius, angle = rng.uniform(0, RADIUS, n), rng.uniform(0, 2 * np.pi, n)
        disc = centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        noise = rng.uniform(-0.5, 0.5, (n, self.d - 3))
        x = np.concatenate([np.ones((n, 1)), disc, noise], axis=1)  # (1)
        return x.astype(np.float32), (~np.isin(cluster, self.labeling(seed))).astype(np.uint8)

    def labeling(self, seed: int) -> tuple[int, ...]:
        """The clusters of label 0."""
        if self.zeros is not None:
            return tuple(self.zeros)
        order = generator(0, "labelings").permutation(len(LABELINGS))
        return LABELINGS[order[seed % len(LABELINGS)]]
