"""Images or vectors of the user's own, in one file of NumPy's: train_x, train_y, test_x, test_y.

x: vectors [N, P], grey images [N, H, W] or images [N, C, H, W], bytes or floats; y: labels [N],
whole numbers from 0. ``numpy.savez("my.npz", train_x=..., ...)`` writes such a file.
"""

import zipfile
from functools import lru_cache

import numpy as np
from pydantic.dataclasses import dataclass

from fabench.dataset.base.given import Given, GivenDataset, checked, wrong
from fabench.schema import STRICT

NAMES = {
    "train_x": "train_images",
    "train_y": "train_labels",
    "test_x": "test_images",
    "test_y": "test_labels",
}


@dataclass(frozen=True, config=STRICT)
class Arrays(GivenDataset):
    def read(self) -> Given:
        try:
            stat = self.where.stat()
        except OSError as error:
            raise wrong(self.path, error.strerror or "it cannot be read") from error
        return _read(self.path, str(self.where.absolute()), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _read(path: str, file: str, *_: int) -> Given:
    """A file of this time and size. Raises UserError."""
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            missing = [name for name in NAMES if name not in archive]
            if missing:
                raise wrong(path, f"it has no {missing[0]}; it should hold {', '.join(NAMES)}")
            arrays = {NAMES[name]: archive[name] for name in NAMES}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise wrong(path, "it is no .npz file of numbers") from error
    arrays = checked(arrays, path)
    return Given.of(arrays, [str(n) for n in range(1 + int(arrays["train_labels"].max()))])
