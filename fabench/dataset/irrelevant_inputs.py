"""Irrelevant inputs: a linear problem some of whose inputs say nothing, in some items more than in
others.

    x = (u, m ⊙ v),  u_i, v_j ~ U(low, 1)                                  (1)
    y = 1 if w u > 0, else 0,  w_i ~ N(0, 1), drawn by the seed            (2)
    m: j of its values are 1, chosen at random, the others 0; j ~ U{0, ..., n_irrelevant} (3)

u: the relevant inputs. The training set is drawn once, not in every epoch. What makes an item
difficult, for ``trainer.curriculum_by``: ``irrelevant``, the number j of irrelevant inputs that are
not 0; ``margin``, minus the margin |w u|.

Reference: Y. Bengio, J. Louradour, R. Collobert, J. Weston, "Curriculum learning", ICML 2009,
section 4.2 (a perceptron, 200 examples, low = 0).

Differences from the paper:
1. It does not say how many inputs there are.
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
class IrrelevantInputs(DrawnDataset):
    name: str
    n_relevant: Count
    n_irrelevant: Count
    low: Annotated[float, Field(ge=-1, lt=1)]
    n_train: Count
    n_test: Count

    fresh = False
    n_classes = 2
    difficulties = ("irrelevant", "margin")

    @property
    def n_inputs(self) -> int:
        return self.n_relevant + self.n_irrelevant

    def draw(
        self, seed: int, stream: str, epoch: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        n = self.size(stream)
        rng = generator(seed, f"irrelevant inputs {stream}")
        x = rng.uniform(self.low, 1, (n, self.n_inputs)).astype(np.float32)  # (1)
        order = rng.random((n, self.n_irrelevant)).argsort(axis=1)
        x[:, self.n_relevant :] *= order < rng.integers(self.n_irrelevant + 1, size=(n, 1))  # (3)
        return x, (self.activation(seed, x) > 0).astype(np.uint8)  # (2)

    def difficulty(self, by: str, seed: int, x: NDArray[np.float32]) -> NDArray[np.float64]:
        if by == "margin":
            return -np.abs(self.activation(seed, x))
        return np.count_nonzero(x[:, self.n_relevant :], axis=1).astype(np.float64)

    def activation(self, seed: int, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """w u of items [N, P]."""
        w = generator(seed, "irrelevant inputs weights").standard_normal(self.n_relevant)
        return x[:, : self.n_relevant] @ w
