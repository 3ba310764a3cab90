"""Labelled images, kept in files, of which an example lays k side by side.

Axes: N images, C channels, H rows of pixels, W columns, P values an image.
"""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fabench.dataset.base.dataset import Dataset
from fabench.dataset.base.items import Augmentation, Pool, Split
from fabench.dataset.files.source import Arrays
from fabench.schema import STRICT, Count, CountFrom0, UserError

Scaling = Literal["standardized", "standardized_per_channel", "unit"]


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
        """What is subtracted from pixels, and what they are then divided by: 1 where they do not
        vary."""
        if self.scaling == "unit":
            return 0.0, self.max_pixel
        if self.scaling == "standardized":
            mean, std = self._moments
            return mean, std or 1.0
        means, stds = self._moments_per_channel
        return means, stds.where(stds > 0, 1.0)

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

    @property
    def within_0_and_1(self) -> bool:
        return self.scaling == "unit"

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
