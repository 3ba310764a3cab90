"""What every dataset is: labelled images, or vectors with labels or targets that every seed draws
for itself.

Axes: S data streams (distinct seeds), M items (images or vectors), P values an item, N examples,
C outputs, H rows of pixels, W columns.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fabench.dataset.files.source import Arrays
from fabench.randomness import generator
from fabench.schema import STRICT, Count, CountFrom0, UserError

Split = Literal["train", "test", "validation"]
Scaling = Literal["standardized", "standardized_per_channel", "unit"]

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


def held_out(n_train: int) -> int:
    """How many of so many training images validation takes."""
    return n_train // 6


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """A dataset in memory, on the CPU.

    train_images: uint8, averages of pixels float32, [N, H, W] or of several channels [N, C, H, W],
    0 to max_pixel; train_labels: uint8 [N], 0 to n_classes - 1; test_images, test_labels: likewise;
    source: where it comes from, for people; scaling: inputs are standardized by the training
    pixels' mean and standard deviation, all channels together or each by its own, or unit:
    pixels / max_pixel; augmentation: of training images; validation: images and labels, where some
    are held out.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    source: str
    n_classes: int
    max_pixel: int
    scaling: Scaling = "standardized"
    augmentation: Augmentation | None = None
    validation: tuple[Tensor, Tensor] | None = None
    fixed = True

    def pool(self, split: Split, epoch: int, seeds: Sequence[int]) -> Pool:
        splits = {
            "train": (self.train_images, self.train_labels),
            "test": (self.test_images, self.test_labels),
            "validation": self.validation,
        }
        own = splits[split]
        assert own is not None, "nothing is held out"
        images, labels = own
        augmentation = self.augmentation if split == "train" else None
        mean, std = self._scale()
        return Pool(images.flatten(1), labels, mean=mean, std=std, augmentation=augmentation)

    def _scale(self) -> tuple[float | Tensor, float | Tensor]:
        """What is subtracted from pixels, and what they are then divided by."""
        if self.scaling == "standardized":
            return self._moments
        if self.scaling == "unit":
            return 0.0, self.max_pixel
        return self._moments_per_channel

    def hold_out(self, as_test: bool = True) -> "Images":
        """Tune or stop without looking at the test set: the last sixth of the training images
        (MNIST's last 10,000) takes no part in training; ``as_test``: and the place of the test
        images."""
        kept = len(self.train_labels) - held_out(len(self.train_labels))
        validation = self.train_images[kept:], self.train_labels[kept:]
        images, labels = validation if as_test else (self.test_images, self.test_labels)
        return dataclasses.replace(
            self,
            train_images=self.train_images[:kept],
            train_labels=self.train_labels[:kept],
            test_images=images,
            test_labels=labels,
            validation=validation,
            source=f"{self.source}, validation images held out",
        )

    @property
    def pixel_mean(self) -> float:
        """The training set's mean pixel, in pixel units (0 to max_pixel)."""
        return self._moments[0]

    @property
    def pixel_std(self) -> float:
        """The standard deviation (divisor: the number of pixels), in pixel units."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[float, float]:
        return _moments(self.train_images)

    @cached_property
    def _moments_per_channel(self) -> tuple[Tensor, Tensor]:
        """Of every pixel's own channel [P]."""
        images = self.train_images
        channels = images.unbind(1) if images.dim() == 4 else (images,)
        each = zip(*map(_moments, channels), strict=True)
        mean, std = (torch.tensor(m).repeat_interleave(channels[0][0].numel()) for m in each)
        return mean, std


def _moments(images: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of all pixels, in pixel units."""
    if images.is_floating_point():
        std, average = torch.std_mean(images.double(), correction=0)
        return average.item(), std.item()
    # From a histogram: exact, and without a copy of the images as floats.
    counts = torch.bincount(images.flatten(), minlength=256).double()
    values = torch.arange(256, dtype=torch.float64)
    mean = (counts @ values) / counts.sum()
    return mean.item(), ((counts @ (values - mean) ** 2) / counts.sum()).sqrt().item()


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


@dataclasses.dataclass(frozen=True)
class ArrayStatus:
    """One array of a dataset, or its file: ``problem`` is None if its digest is the expected one.

    digest: "sha256 ..." of the array as an uncompressed IDX file (CIFAR's: of its bytes), or
    "md5 ..." of its file; None if it cannot be read.
    """

    name: str
    digest: str | None
    problem: str | None


@dataclasses.dataclass(frozen=True)
class Status:
    """A dataset on this machine, nothing fetched. ``arrays`` is empty if it is missing."""

    name: str
    state: Literal["present", "missing", "corrupt"]
    where: str
    arrays: list[ArrayStatus]


class Dataset(ABC):
    """Labelled items. A subclass is a frozen pydantic dataclass, its sizes known unloaded.

    Labels are 0 to n_classes - 1; a teacher has targets instead, and no classes.
    """

    name: str
    n_train: int
    n_test: int
    n_classes: ClassVar[int]
    difficulties: ClassVar[tuple[str, ...]] = ()
    """What makes an item difficult: what a curriculum may sort training items by."""

    @property
    @abstractmethod
    def n_inputs(self) -> int:
        """How many values an item has."""

    @property
    def item_shape(self) -> tuple[int, ...]:
        """(length,) of a vector, (channels, rows, columns) of an image."""
        return (self.n_inputs,)

    @abstractmethod
    def load(self, data_dir: str | None = None) -> Data:
        """The data, verified. Files are looked for in ``data_dir`` first and fetched if need be.

        Raises UserError.
        """


class DrawnDataset(Dataset):
    """Vectors and labels as functions of the seed: an example is one vector."""

    fresh: ClassVar[bool] = True
    """Whether every epoch has vectors of its own."""

    @abstractmethod
    def draw(self, seed: int, stream: str, epoch: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Vectors [N, P] and labels [N] of stream train, test or validation in one epoch."""

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
        n = self.n_train if stream == "train" else self.n_test
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


@dataclass(frozen=True, config=STRICT)
class ImageDataset(Dataset):
    """Labelled images of one size: an example lays k of them side by side.

    scaling: of the inputs, see ``Images``; downsample: side of the square of pixels whose average
    takes their place; crop, flip: see ``Augmentation``; file_shape: channels, rows and columns of
    an image as it is stored. An item's values are laid out channel after channel, row after row.
    """

    name: str
    scaling: Scaling = "standardized"
    downsample: Count = 1
    crop: CountFrom0 = 0
    flip: bool = False

    file_shape: ClassVar[tuple[int, int, int]]
    max_pixel: ClassVar[int]

    def __post_init__(self) -> None:
        _, rows, columns = self.file_shape
        if rows % self.downsample or columns % self.downsample:
            raise UserError(
                f"dataset.downsample={self.downsample}: it must divide the {rows} rows and "
                f"{columns} columns of {self.name}."
            )
        _, rows, columns = self.image_shape
        if self.crop >= min(rows, columns):
            raise UserError(
                f"dataset.crop={self.crop}: it must be less than the {rows} rows and {columns} "
                f"columns of {self.name}."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of an image as it comes in."""
        channels, rows, columns = self.file_shape
        return channels, rows // self.downsample, columns // self.downsample

    @property
    def n_inputs(self) -> int:
        return math.prod(self.image_shape)

    @property
    def item_shape(self) -> tuple[int, ...]:
        return self.image_shape

    @abstractmethod
    def load(self, data_dir: str | None = None) -> Images: ...

    @abstractmethod
    def status(self, data_dir: str | None = None) -> Status:
        """What ``load`` would find, fetching nothing. Raises UserError: no such data_dir."""

    def _images(self, arrays: Arrays, where: str) -> Images:
        tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if self.downsample > 1:
            for name in ("train_images", "test_images"):
                tensors[name] = avg_pool2d(tensors[name].float(), self.downsample)
        changes = Augmentation(self.image_shape, self.crop, self.flip)
        return Images(**tensors, source=where, n_classes=self.n_classes, max_pixel=self.max_pixel,
                      scaling=self.scaling,
                      augmentation=changes if self.crop or self.flip else None)  # fmt: skip

    def _checked(self, where: str, arrays: list[ArrayStatus]) -> Status:
        corrupt = any(array.problem for array in arrays)
        return Status(self.name, "corrupt" if corrupt else "present", where, arrays)
