"""Images of the user's own, in folders: torchvision's ImageFolder layout.

    path/train/<class>/<image>    path/test/<class>/<image>

Without train/ and test/, path/<class>/<image>: a share of every class, ``test_share``, rounded, at
least one and not all, is the test set, drawn once and for all, whatever a run's seed. Classes are
numbered by name. Images are resized to ``size`` x ``size`` (bilinear, with antialiasing) and read
as RGB, or grey (``colour=false``). What was read is kept in the cache as one file, and read again
when a file's name, size or time changes. Training images stand in one random order, the same in
every run.
"""

import hashlib
import json
import logging
import os
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from fabench.dataset.base.given import SPLITS, Given, GivenDataset, checked, wrong
from fabench.dataset.files.source import cache_folder
from fabench.randomness import generator
from fabench.schema import STRICT, Count, UserError

log = logging.getLogger(__name__)

VERSION = 2
"""Of how files become pixels: what another one has kept is read again."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")

Files = dict[str, list[Path]]
"""By class name, sorted."""


@dataclass(frozen=True, config=STRICT)
class Folder(GivenDataset):
    size: Count = 32
    colour: bool = True
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2

    reading = ("path", "size", "colour", "test_share")

    def read(self) -> Given:
        files = _listed(self.path, self.where, self.test_share)
        stats = [
            (split, name, str(file), (stat := file.stat()).st_size, stat.st_mtime_ns)
            for split, classes in files.items()
            for name, found in classes.items()
            for file in found
        ]
        key = json.dumps([os.fspath(self.where.absolute()), self.size, self.colour, stats])
        return _read(self.path, key, self.size, self.colour)


def _listed(path: str, root: Path, test_share: float) -> dict[str, Files]:
    """The images of both splits. Raises UserError."""
    if not root.is_dir():
        raise wrong(path, "it is not a folder")
    there = [split for split in SPLITS if (root / split).is_dir()]
    if len(there) == 1:
        raise wrong(path, f"it has {there[0]}/ and no {'/ '.join(set(SPLITS) - set(there))}/")
    if there:
        both = {split: _classes(path, root / split) for split in SPLITS}
        apart = both["train"].keys() ^ both["test"].keys()
        if apart:
            raise wrong(path, f"class {min(apart)} is not in both of train/ and test/")
        return both
    both = {split: {} for split in SPLITS}
    for name, files in _classes(path, root).items():
        n_test = min(max(1, round(test_share * len(files))), len(files) - 1)
        if n_test == 0:
            raise wrong(path, f"class {name} has one image, and training and test need one each")
        order = generator(0, f"folder test {name}").permutation(len(files))
        both["test"][name] = [files[i] for i in sorted(order[:n_test])]
        both["train"][name] = [files[i] for i in sorted(order[n_test:])]
    return both


def _classes(path: str, folder: Path) -> Files:
    """The images of every class. Raises UserError."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if not names:
        raise wrong(path, f"{folder} has no folder for each class")
    classes = {
        name: sorted(f for f in (folder / name).rglob("*") if f.suffix.lower() in SUFFIXES)
        for name in names
    }
    empty = [name for name, files in classes.items() if not files]
    if empty:
        raise wrong(path, f"class {empty[0]} has no image in {folder / empty[0]}")
    return classes


@lru_cache(maxsize=4)
def _read(path: str, key: str, size: int, colour: bool) -> Given:
    """The images of a listing: from the cache, or read and kept there. Raises UserError."""
    cache = cache_folder()
    name = hashlib.sha256(f"{VERSION} {key}".encode()).hexdigest()[:32]
    kept = cache / "folder" / f"{name}.npz" if cache else None
    if kept and kept.exists():
        try:
            with kept.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive}
            classes = arrays.pop("classes").tolist()
            return Given.of(checked(arrays, path), classes)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            log.warning("%s is damaged; reading %s again.", kept, path)
    shape = (3 if colour else 1, size, size)
    *_, stats = json.loads(key)
    classes = sorted({name for _, name, *_ in stats})
    arrays = {}
    for split in SPLITS:
        files = [(file, classes.index(name)) for part, name, file, *_ in stats if part == split]
        log.info("Reading %s %s images of %s.", f"{len(files):,}", split, path)
        order = generator(0, f"folder {split}").permutation(len(files))
        pixels = np.stack([read_image(files[i][0], shape) for i in order])
        arrays[f"{split}_images"] = pixels
        arrays[f"{split}_labels"] = np.array([files[i][1] for i in order], np.int64)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}.npz")
        np.savez(part, **arrays, classes=np.array(classes))
        os.replace(part, kept)
    return Given.of(checked(arrays, path), classes)


def read_image(file: str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """An image as uint8 pixels [C, H, W] of a shape with one channel or three. Raises UserError."""
    from PIL import Image

    channels, rows, columns = shape
    try:
        with Image.open(file) as stored:
            image: Image.Image = stored
            if image.mode.startswith("I;16"):  # convert would clip it
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.mode in ("I", "F"):
                raise UserError(f"{file} has pixels of 32 bits: store 8 or 16.")
            mode = image.convert("L" if channels == 1 else "RGB")
            pixels = np.asarray(mode.resize((columns, rows), Image.Resampling.BILINEAR))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} cannot be read as an image.") from error
    return np.ascontiguousarray(pixels.reshape(rows, columns, channels).transpose(2, 0, 1))
