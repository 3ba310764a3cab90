"""What examples are made of: items with labels, in splits.

Axes: M items (images or vectors), P values an item, C outputs, H rows of pixels, W columns.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Split = Literal["train", "test", "validation"]

AUGMENTATION = {"crop": 0, "flip": False}
"""Settings of image datasets that leave a run's identity alone at these values: as before there
were such ones."""


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How training images of ``shape`` (C, H, W) vary: a crop of their size, at random, out of the
    image within a margin of ``crop`` black pixels; if ``flip``, mirrored left to right or not."""

    shape: tuple[int, int, int]
    crop: int
    flip: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """Items that examples are made of: values [M, P], labels [M] (of a teacher: targets [M, C]).

    per_stream: how many each data stream has of its own, one stream's after the other's; None:
    all streams share the M items. Inputs are (values - mean) / std; of several channels, mean and
    std may be tensors [P]. difficulties: of training items [M], see ``Dataset.difficulties``.
    augmentation: how items vary; black: values [P] of a black one, None: 0.
    """

    values: Tensor
    labels: Tensor
    per_stream: int | None = None
    mean: float | Tensor = 0.0
    std: float | Tensor = 1.0
    difficulties: dict[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    augmentation: Augmentation | None = None
    black: Tensor | None = None

    def to(self, device: torch.device) -> "Pool":
        """The same on ``device``."""
        tensors: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return dataclasses.replace(self, **tensors)


class Data(Protocol):
    """What a dataset loads: something to make examples of."""

    @property
    def source(self) -> str:
        """Where it comes from, for people."""

    @property
    def fixed(self) -> bool:
        """Whether a split's items are the same in every epoch."""

    def pool(self, split: Split, epoch: int, seeds: Sequence[int]) -> Pool:
        """The items of ``split`` in one epoch."""

    def hold_out(self, as_test: bool = True) -> "Data":
        """The same with a split of validation data, part of no other; ``as_test``: which also takes
        the place of the test data."""
