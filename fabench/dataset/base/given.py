"""Labelled images or vectors of the user's own, known by what they hold and not by where they lie.

Axes: N items, C channels, H rows, W columns, P values an item.
"""

import dataclasses
import hashlib
import os
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from fabench.dataset.base.images import ArrayStatus, ImageDataset, Images, Status, held_out
from fabench.dataset.files.source import Arrays
from fabench.schema import STRICT, UserError, short

SPLITS = ("train", "test")
KINDS = {2: "vectors [N, P]", 3: "grey images [N, H, W]", 4: "images [N, C, H, W]"}


@dataclasses.dataclass(frozen=True)
class Given:
    """What was read: ``arrays`` as ``Images`` has them, labels int64; class_names: by label."""

    arrays: Arrays
    class_names: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, arrays: Arrays, class_names: Sequence[str]) -> "Given":
        """With the SHA-256 of names, types, shapes and bytes."""
        sha = hashlib.sha256()
        for name, array in sorted(arrays.items()):
            sha.update(f"{name} {array.dtype} {array.shape}\n".encode())
            sha.update(np.ascontiguousarray(array).view(np.uint8).data)
        return cls(arrays, tuple(class_names), sha.hexdigest())


@dataclass(frozen=True, config=STRICT)
class GivenDataset(ImageDataset):
    """sha256: of the arrays; it stands for ``path`` in a run's identity. None: whatever is there.

    Bytes are pixels from 0 to 255; floats are taken as they are (``scaling=unit`` leaves them so).
    """

    path: str = ""
    sha256: str | None = None

    reading: ClassVar[tuple[str, ...]] = ("path",)
    """Settings that decide what the arrays are, for which ``sha256`` stands."""

    class_names: ClassVar[tuple[str, ...]]
    """Of every label, in order."""

    are_fractions: ClassVar[bool]
    """Whether ``scaling=unit`` gives numbers in [0, 1]."""

    def __post_init__(self) -> None:
        if not self.path:
            raise UserError(f"dataset={self.name} has a path: dataset.path=...")
        given = self.given()
        images = given.arrays["train_images"]
        known = {  # unloaded: the arrays go
            "sha256": given.digest,
            "file_shape": (1,) * (4 - images.ndim) + images.shape[1:],
            "max_pixel": 255 if images.dtype == np.uint8 else 1,
            "n_train": len(images),
            "n_test": len(given.arrays["test_images"]),
            "n_classes": len(given.class_names),
            "class_names": given.class_names,
            "are_fractions": all(_are_fractions(given.arrays[f"{s}_images"]) for s in SPLITS),
        }
        for name, value in known.items():
            object.__setattr__(self, name, value)
        super().__post_init__()
        if self.flip and self.is_vector:
            raise UserError(f"dataset.flip=true: {self.path} holds vectors, which have no sides.")

    @abstractmethod
    def read(self) -> Given:
        """What ``path`` holds. Raises UserError."""

    def given(self) -> Given:
        """What ``path`` holds, and should hold. Raises UserError."""
        given = self.read()
        if self.sha256 not in (None, given.digest):
            raise wrong(
                self.path,
                f"it holds other data (SHA-256 {given.digest[:10]}...) than is asked for "
                f"({self.sha256})",
            )
        return given

    @property
    def where(self) -> Path:
        """``path``, with the user's home for ~."""
        return Path(os.path.expanduser(self.path))  # pathlib fails where there is no home

    @property
    def item_shape(self) -> tuple[int, ...]:
        return (self.n_inputs,) if self.is_vector else self.image_shape

    @property
    def is_vector(self) -> bool:
        """Whether an item is numbers in no order."""
        return self.file_shape[:2] == (1, 1)

    @property
    def within_0_and_1(self) -> bool:
        return super().within_0_and_1 and self.are_fractions

    def check_validation(self) -> None:
        """What is held out, the last sixth, must have every class, and leave some of each."""
        labels = self.given().arrays["train_labels"]
        kept = len(labels) - held_out(len(labels))
        for part, word in ((labels[:kept], "before"), (labels[kept:], "in")):
            missing = set(range(self.n_classes)) - set(part.tolist())
            if missing:
                raise wrong(
                    self.path,
                    f"class {self.class_names[min(missing)]} is not {word} the last sixth of the "
                    "training data, which is held out: shuffle them",
                )

    def load(self, data_dir: str | None = None) -> Images:
        arrays = {name: array.copy() for name, array in self.given().arrays.items()}
        return self._images(arrays, f"{self.where.absolute()}, SHA-256 {self.sha256}")

    def status(self, data_dir: str | None = None) -> Status:
        return self._checked(self.path, [ArrayStatus("all", f"sha256 {self.sha256}", None)])


def _are_fractions(x: NDArray[Any]) -> bool:
    """Whether values are bytes, which become parts of 255, or in [0, 1]."""
    return x.dtype == np.uint8 or bool(x.min() >= 0 and x.max() <= 1)


def wrong(path: str, what: str) -> UserError:
    """What is wrong with the data there, in a sentence."""
    return UserError(f"dataset.path={short(path)}: {what}.")


def checked(arrays: dict[str, NDArray[Any]], path: str) -> Arrays:
    """``{train,test}_images`` uint8 or float32 and ``_labels`` int64, from whatever arrays they
    are. Raises UserError."""
    taken: Arrays = {}
    for split in SPLITS:
        x, y = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        if x.ndim not in KINDS:
            wanted = ", ".join(KINDS.values())
            raise wrong(path, f"{split}_x has {x.ndim} axes; there are {wanted}")
        if y.shape != x.shape[:1]:
            raise wrong(
                path, f"{split}_y has the shape {list(y.shape)}, and {len(x)} items one label each"
            )
        if 0 in x.shape:
            raise wrong(path, f"{split}_x is empty, {list(x.shape)}")
        if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
            raise wrong(path, f"{split}_x is {x.dtype}: store bytes (uint8) or floats")
        with np.errstate(over="ignore"):
            x = x if x.dtype == np.uint8 else x.astype(np.float32)
        if x.dtype != np.uint8 and not np.isfinite(x).all():
            raise wrong(path, f"{split}_x has values that are no finite float32")
        if not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
            raise wrong(path, f"{split}_y should be whole numbers from 0, the classes")
        taken |= {f"{split}_images": x, f"{split}_labels": y.astype(np.int64)}
    train, test = (taken[f"{split}_images"] for split in SPLITS)
    if (train.shape[1:], train.dtype) != (test.shape[1:], test.dtype):
        raise wrong(
            path,
            f"train_x holds {train.dtype} {list(train.shape[1:])}, test_x {test.dtype} "
            f"{list(test.shape[1:])}",
        )
    classes = set(taken["train_labels"].tolist())
    for label in range(max(classes, default=0)):
        if label not in classes:
            raise wrong(path, f"class {label} has no training item")
    if len(classes) == 1:
        raise wrong(path, "all training items are of one class")
    strange = set(taken["test_labels"].tolist()) - classes
    if strange:
        raise wrong(path, f"class {min(strange)} has test items, and no training item")
    return taken
