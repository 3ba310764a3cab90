"""The IDX file format, in which MNIST and its successors are kept: raw or gzip-compressed.

    two zero bytes, 8 (unsigned bytes), number of axes, each axis's length (uint32, big-endian),
    then the array in C order

Reference: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.
"""

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np

CHUNK_BYTES = 1 << 18
"""Read size: gzip then never holds a second copy of a large array."""


class Corrupt(Exception):
    """A file that is there but is not what it should be. The message names it and says why.

    ``digest``: what was found, "sha256 ..." or "md5 ...", where the file could be read at all.
    """

    def __init__(self, path: Path, reason: str, digest: str | None = None):
        super().__init__(f"{path} {reason}")
        self.path, self.digest = path, digest


def header(shape: tuple[int, ...]) -> bytes:
    """The bytes in front of a uint8 array of this shape."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)


def digest(array: np.ndarray) -> str:
    """SHA-256 of a uint8 array with its header: that of the decompressed IDX file, in hex."""
    sha = hashlib.sha256(header(array.shape))
    sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The uint8 array of ``shape`` that an IDX file (compressed if it ends in .gz) holds.

    Raises Corrupt if the file is anything else.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    wanted, array = header(shape), np.empty(shape, np.uint8)
    rest = array.reshape(-1).data
    try:
        with opener(path, "rb") as file:
            found = file.read(len(wanted))
            if found[:4] != wanted[:4]:
                raise Corrupt(path, f"is not an IDX file of bytes in {len(shape)} dimensions")
            if found != wanted:
                raise Corrupt(path, f"does not hold an array of shape {shape}")
            while n := file.readinto(rest[:CHUNK_BYTES]):
                rest = rest[n:]
            too_long = file.read(1)  # at its end, gzip verifies its checksum
    except EOFError:
        raise Corrupt(path, "ends too early") from None
    except (gzip.BadGzipFile, zlib.error):
        raise Corrupt(path, "is not valid gzip") from None
    except OSError as error:
        raise Corrupt(path, f"cannot be read ({error.strerror})") from None
    if len(rest):
        raise Corrupt(path, "ends too early")
    if too_long:
        raise Corrupt(path, "is longer than it should be")
    return array


def read_verified(path: Path, shape: tuple[int, ...], sha256: str) -> np.ndarray:
    """``read``, and its digest is ``sha256``. Raises Corrupt otherwise."""
    array = read(path, shape)
    found = digest(array)
    if found != sha256:
        reason = f"has SHA-256 {found[:12]}... instead of {sha256[:12]}..."
        raise Corrupt(path, reason, f"sha256 {found}")
    return array


def write(path: Path, array: np.ndarray) -> None:
    """Write a uint8 array as a raw IDX file."""
    with open(path, "wb") as file:
        file.write(header(array.shape))
        file.write(np.ascontiguousarray(array).data)
