"""CIFAR's files: pickled batches, as torchvision downloads them, or the binary version's.

    a binary batch: records of 3,073 bytes, a label, then 1,024 red, green and blue pixels each

What identifies the dataset are its arrays, whatever files they come in: the SHA-256 of their bytes.
Pickles, which could run code, are opened only if they have the MD5 that torchvision knows.

Reference: A. Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html
"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fabench.dataset.files import download, idx
from fabench.dataset.files.source import Archive, Arrays, Paths, outcome

PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class CifarArchive(Archive):
    """CIFAR's batches; torchvision knows the names and MD5 digests of the pickled ones.

    base_folder: torchvision's name for their folder; binary_folder: that of the binary version,
    where it is accepted; sha256: the arrays' names -> digests, where they are known.
    """

    name: str
    base_folder: str
    binary_folder: str | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    on_npm: bool = False

    def folders(self, root: Path) -> list[Path]:
        return [root / name for name in (self.base_folder, self.binary_folder) if name]

    def find(self, root: Path) -> Paths | None:
        folder = root / self.base_folder
        if os.path.isdir(folder):  # told without torchvision, which costs 2 s and 150 MB
            paths = {file: folder / file for file in self._md5()}
            if all(map(os.path.isfile, paths.values())):
                return paths
        if self.binary_folder:
            paths = binary_batches(root / self.binary_folder)
            if all(map(os.path.isfile, paths.values())):
                return paths
        return None

    def verify(self, paths: Paths) -> dict[str, str | idx.Corrupt]:
        if not _binary(paths):
            return {file: outcome(self._verify, file, path) for file, path in paths.items()}
        try:
            arrays = _read_binary(paths)
        except idx.Corrupt as corrupt:
            return {corrupt.path.name: corrupt}
        folder = next(iter(paths.values())).parent
        return {name: outcome(self._identify, name, arrays[name], folder) for name in arrays}

    def read_all(self, paths: Paths) -> Arrays:
        arrays = _read_binary(paths) if _binary(paths) else self._unpickled(paths)
        for name, array in arrays.items():
            self._identify(name, array, next(iter(paths.values())).parent)
        return arrays

    def _identify(self, name: str, array: np.ndarray, folder: Path) -> str:
        """The array's digest, if it is the expected one. Raises Corrupt."""
        found = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
        wanted = self.sha256.get(name, found)
        if found != wanted:
            reason = f"holds {name} of SHA-256 {found[:12]}... instead of {wanted[:12]}..."
            raise idx.Corrupt(folder, reason, f"sha256 {found}")
        return f"sha256 {found}"

    def _verify(self, file: str, path: Path) -> str:
        """The digest of a pickled batch, if it is the expected one. Raises Corrupt."""
        from torchvision.datasets.utils import calculate_md5

        try:
            found = calculate_md5(path)
        except OSError as error:
            raise idx.Corrupt(path, f"cannot be read ({error.strerror})") from None
        wanted = self._md5()[file]
        if found != wanted:
            raise idx.Corrupt(path, f"has MD5 {found} instead of {wanted}", f"md5 {found}")
        return f"md5 {found}"

    def _unpickled(self, paths: Paths) -> Arrays:
        for file, path in paths.items():
            self._verify(file, path)
        root = next(iter(paths.values())).parent.parent
        arrays = {}
        with download.silence():  # NumPy 2.4.0 to 2.4.4 warn of pickles as old as these
            for split in download.CIFAR_BATCHES:
                read = self._torchvision()(root, train=split == "train")
                arrays[f"{split}_images"] = np.moveaxis(read.data, 3, 1)  # [N, H, W, C] there
                arrays[f"{split}_labels"] = np.array(read.targets, np.uint8)
        return arrays

    def _torchvision(self) -> Any:
        import torchvision.datasets

        return getattr(torchvision.datasets, self.name)

    def _md5(self) -> dict[str, str]:
        """The pickled batches' names and digests."""
        cifar = self._torchvision()
        meta = [cifar.meta["filename"], cifar.meta["md5"]]
        return dict([*cifar.train_list, *cifar.test_list, meta])


def binary_batches(folder: Path) -> Paths:
    """The binary version's files, by their batches' names."""
    return {
        batch: folder / f"{batch}.bin"
        for split in download.CIFAR_BATCHES.values()
        for batch in split
    }


def _binary(paths: Paths) -> bool:
    return all(path.suffix == ".bin" for path in paths.values())


def _read_binary(paths: Paths) -> Arrays:
    """The arrays as the batches hold them, not identified. Raises Corrupt."""
    arrays = {}
    for split, batches in download.CIFAR_BATCHES.items():
        records = np.concatenate([_read_batch(paths[batch]) for batch in batches])
        arrays[f"{split}_images"] = np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, 32, 32)
        arrays[f"{split}_labels"] = records[:, 0].copy()
    return arrays


def _read_batch(path: Path) -> np.ndarray:
    """The records [N, 3073] of one file. Raises Corrupt."""
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise idx.Corrupt(path, f"cannot be read ({error.strerror})") from None
    if len(content) % (1 + PIXELS):
        raise idx.Corrupt(path, f"does not consist of records of {1 + PIXELS:,} bytes")
    return content.reshape(-1, 1 + PIXELS)
