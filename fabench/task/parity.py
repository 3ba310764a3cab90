"""Digit parity: k digits lie side by side; is their sum odd?

    y = (d_1 + ... + d_k) mod 2                                      (1)

An epoch draws k independent permutations of the images; example n consists of the n-th image of
each. So every image is used exactly k times an epoch, once in each place. The test set is redrawn
the same way.

References: A. Daniely, E. Malach, "Learning parities with neural networks", 2020, arXiv:2002.07400,
section 5; D. C. Demirbilek, "The Dynamics of Learning Beyond Stochastic Gradient Descent", 2021,
section 2.1.

Differences from the papers:
1. The input is the k flattened images one after the other, not the rows of one wide image: for a
   fully connected network a permutation of its inputs, which changes nothing.
2. Binary cross-entropy on the logit as in the thesis; Daniely and Malach use the hinge loss.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.schema import STRICT, Count
from fabench.task.base import BINARY_CROSS_ENTROPY, Loss, Task


@dataclass(frozen=True, config=STRICT)
class Parity(Task):
    name: str
    k: Count

    @property
    def items_per_example(self) -> int:
        return self.k

    @property
    def n_outputs(self) -> int:
        return 1

    @property
    def chance(self) -> float:
        return 0.5

    def table(self, rng: Generator, n_items: int) -> NDArray[np.int64]:
        return np.stack([rng.permutation(n_items) for _ in range(self.k)], axis=1)

    def targets(self, labels: Tensor) -> Tensor:
        return (labels.long().sum(-1, keepdim=True) % 2).float()  # (1)

    @property
    def objective(self) -> Loss:
        return BINARY_CROSS_ENTROPY

    def classes(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (output > 0).squeeze(-1).long(), (y > 0.5).squeeze(-1).long()
