"""Vectors with labels or targets that every seed draws for itself.

Axes: S data streams (distinct seeds), N vectors, P values a vector, C outputs, O units.
"""

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fabench.dataset.base.dataset import Dataset
from fabench.dataset.base.items import Pool, Split
from fabench.randomness import generator


@dataclasses.dataclass(frozen=True)
class Draws:
    """Vectors that every seed draws for itself; ``test`` names the stream of the test data."""

    dataset: "DrawnDataset"
    test: Literal["test", "validation"] = "test"

    @property
    def fixed(self) -> bool:
        return not self.dataset.fresh

    @property
    def source(self) -> str:
        return f"drawn from each seed{', validation data' if self.test == 'validation' else ''}"

    def pool(self, split: Split, epoch: int, seeds: Sequence[int]) -> Pool:
        stream = self.test if split == "test" else split
        drawn = [self.dataset.draw(seed, stream, epoch) for seed in seeds]
        vectors, targets = zip(*drawn, strict=True)
        values, labels = (torch.from_numpy(np.concatenate(part)) for part in (vectors, targets))
        columns = self.dataset.difficulties if split == "train" else ()
        difficulties = {
            by: np.concatenate(
                [self.dataset.difficulty(by, *own) for own in zip(seeds, vectors, strict=True)]
            )
            for by in columns
        }
        return Pool(values, labels, len(labels) // len(seeds), difficulties=difficulties)

    def hold_out(self, as_test: bool = True) -> "Draws":
        return dataclasses.replace(self, test="validation") if as_test else self


class DrawnDataset(Dataset):
    """Vectors and labels as functions of the seed: an example is one vector."""

    fresh: ClassVar[bool] = True
    """Whether every epoch has vectors of its own."""

    @abstractmethod
    def draw(self, seed: int, stream: str, epoch: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Vectors [N, P] and labels [N] of stream train, test or validation in one epoch."""

    def size(self, stream: str) -> int:
        """How many vectors a stream has."""
        return self.n_train if stream == "train" else self.n_test

    def difficulty(self, by: str, seed: int, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """How difficult [N] the training items [N, P] are, by one of ``difficulties``."""
        raise NotImplementedError

    def load(self, data_dir: str | None = None) -> Draws:
        return Draws(self)


class Teacher(DrawnDataset):
    """Normal vectors and what a random network makes of them, fresh in every epoch.

        x ~ N(0, I)                                           (1)
        h_l = tanh(h_{l-1} T_l), h_0 = x; the last one linear (2)
        T_l ~ U(-1, 1), drawn by the seed                     (3)

    ``widths``: of x and of every layer.
    """

    widths: ClassVar[tuple[int, ...]]

    @property
    def n_inputs(self) -> int:
        return self.widths[0]

    @property
    def n_targets(self) -> int:
        """C: how many values a target has."""
        return self.widths[-1]

    def draw(
        self, seed: int, stream: str, epoch: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors [N, P] and targets [N, C]."""
        n = self.size(stream)
        x = generator(seed, f"teacher {stream}", epoch).standard_normal((n, self.n_inputs))  # (1)
        *hidden, last = self.weights(seed)
        h = x
        for T in hidden:
            h = np.tanh(h @ T)  # (2)
        return x.astype(np.float32), (h @ last).astype(np.float32)

    def weights(self, seed: int) -> list[NDArray[np.float64]]:
        """T_1 [P, O], T_2 [O, O'], ..."""
        return [
            generator(seed, f"teacher weights {index}").uniform(-1, 1, shape)  # (3)
            for index, shape in enumerate(pairwise(self.widths))
        ]
