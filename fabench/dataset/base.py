"""What every dataset is: grey images of one size, labelled, split into training and test.

Axes: N examples, H rows of pixels, W columns.
"""

import dataclasses
from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fabench import idx, registry, source


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """A dataset in memory, on the CPU.

    train_images: uint8 [N, H, W], pixels 0 to max_pixel; train_labels: uint8 [N], 0 to
    n_classes - 1; test_images, test_labels: likewise; source: where it comes from, for people.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    source: str
    n_classes: int
    max_pixel: int

    def hold_out(self) -> "Images":
        """Tune without looking at the test set: the last sixth of the training images (MNIST's
        last 10,000) takes the place of the test images, and no part in training."""
        kept = len(self.train_labels) - len(self.train_labels) // 6
        return dataclasses.replace(
            self,
            train_images=self.train_images[:kept],
            train_labels=self.train_labels[:kept],
            test_images=self.train_images[kept:],
            test_labels=self.train_labels[kept:],
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
        # From a histogram: exact, and without a copy of the images as floats.
        counts = torch.bincount(self.train_images.flatten(), minlength=256).double()
        values = torch.arange(256, dtype=torch.float64)
        mean = (counts @ values) / counts.sum()
        return mean.item(), ((counts @ (values - mean) ** 2) / counts.sum()).sqrt().item()


@dataclasses.dataclass(frozen=True)
class ArrayStatus:
    """One array of a dataset: ``problem`` is None if its digest is the expected one.

    sha256: of the array as an uncompressed IDX file; None if it cannot be decoded.
    """

    name: str
    sha256: str | None
    problem: str | None


@dataclasses.dataclass(frozen=True)
class Status:
    """A dataset on this machine, nothing fetched. ``arrays`` is empty if it is missing."""

    name: str
    state: Literal["present", "missing", "corrupt"]
    where: str
    arrays: list[ArrayStatus]


class Dataset(ABC):
    """Labelled images. A subclass is a frozen pydantic dataclass, its sizes known unloaded."""

    name: str
    image_shape: ClassVar[tuple[int, int]]
    n_train: ClassVar[int]
    n_test: ClassVar[int]
    n_classes: ClassVar[int]
    max_pixel: ClassVar[int]

    @abstractmethod
    def load(self, data_dir: str | None = None) -> Images:
        """The images, verified, looked for in ``data_dir`` first and fetched if need be.

        Raises UserError.
        """

    @abstractmethod
    def status(self, data_dir: str | None = None) -> Status:
        """What ``load`` would find, fetching nothing. Raises UserError: no such data_dir."""

    def _images(self, arrays: source.Arrays, where: str) -> Images:
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return Images(**tensors, source=where, n_classes=self.n_classes, max_pixel=self.max_pixel)

    def _checked(self, where: str, arrays: list[ArrayStatus]) -> Status:
        corrupt = any(array.problem for array in arrays)
        return Status(self.name, "corrupt" if corrupt else "present", where, arrays)


class IdxDataset(Dataset):
    """A dataset kept as IDX files: fabench.source says where they are looked for."""

    archive: ClassVar[source.Archive]
    image_shape = source.Archive.image_shape
    n_train = source.Archive.n_train
    n_test = source.Archive.n_test
    n_classes = 10
    max_pixel = 255

    def load(self, data_dir: str | None = None) -> Images:
        return self._images(*source.load(self.archive, data_dir))

    def status(self, data_dir: str | None = None) -> Status:
        paths, searched = source.locate(self.archive, data_dir)
        if not paths:
            return Status(self.name, "missing", f"not in {' or '.join(map(str, searched))}", [])
        arrays = []
        for name, path in paths.items():
            try:
                self.archive.read(name, path)
                arrays.append(ArrayStatus(name, self.archive.sha256[name], None))
            except idx.Corrupt as corrupt:
                arrays.append(ArrayStatus(name, corrupt.sha256, str(corrupt)))
        return self._checked(str(path.parent), arrays)


def report(data_dir: str | None = None) -> list[Status]:
    """Every dataset's status, by name; nothing is fetched. Raises UserError: no such data_dir."""
    return [_dataset(name).status(data_dir) for name in registry.names("dataset")]


def fetch(name: str, data_dir: str | None = None) -> Status:
    """Make sure that a dataset is on this machine: fetched into the cache if no folder has it.

    Raises UserError: an unknown name, or whatever ``load`` raises.
    """
    dataset = _dataset(name)
    dataset.load(data_dir)
    return dataset.status(data_dir)


def _dataset(name: str) -> Dataset:
    return registry.build("dataset", {"name": name})
