import gzip
import hashlib

import numpy as np
import pytest

from fabench.dataset.files import idx

SHAPE = (3, 4, 5)
ARRAY = np.arange(60, dtype=np.uint8).reshape(SHAPE)
HEADER = bytes([0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5])
CONTENT = HEADER + bytes(range(60))


@pytest.mark.parametrize("name, pack", [("x", bytes), ("x.gz", gzip.compress)])
def test_reads_raw_and_gzip(tmp_path, name, pack):
    path = tmp_path / name
    path.write_bytes(pack(CONTENT))
    assert np.array_equal(idx.read(path, SHAPE), ARRAY)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert np.array_equal(idx.read_verified(path, SHAPE, sha256), ARRAY)


def test_writes_the_format(tmp_path):
    idx.write(tmp_path / "x", ARRAY)
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_digest_is_that_of_the_decompressed_file():
    assert idx.digest(ARRAY) == hashlib.sha256(CONTENT).hexdigest()
    assert idx.digest(np.asfortranarray(ARRAY)) == idx.digest(ARRAY)


def test_an_array_larger_than_a_chunk(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, 2 * idx.CHUNK_BYTES + 7, np.uint8)
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(idx.header(array.shape) + array.tobytes(), 1))
    assert np.array_equal(idx.read(path, array.shape), array)


GZIP = gzip.compress(CONTENT, mtime=0)
BAD_SUM = GZIP[:-8] + bytes([GZIP[-8] ^ 1]) + GZIP[-7:]


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("x", b"", "not an IDX file"),
        ("x", b"<html>not found</html>", "not an IDX file"),
        ("x", b"\0\0\x0d" + CONTENT[3:], "not an IDX file"),  # floats
        ("x", CONTENT[:10], "shape"),
        ("x", HEADER[:-1] + b"\6" + bytes(72), "shape"),
        ("x", CONTENT[:-1], "ends too early"),
        ("x", CONTENT + b"\0", "longer"),
        ("x.gz", CONTENT, "not valid gzip"),
        ("x.gz", GZIP[:-20], "ends too early"),
        ("x.gz", GZIP[:5], "ends too early"),
        ("x.gz", BAD_SUM, "not valid gzip"),
        ("x.gz", GZIP[:10] + b"\xff" * 30, "not valid gzip"),
        ("x.gz", gzip.compress(CONTENT[:-1], mtime=0), "ends too early"),
    ],
)
def test_corrupt_files_are_named_with_the_reason(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(idx.Corrupt, match=reason) as raised:
        idx.read(path, SHAPE)
    assert str(path) in str(raised.value) and raised.value.digest is None


def test_another_digest_is_corrupt_and_told(tmp_path):
    idx.write(tmp_path / "x", ARRAY)
    with pytest.raises(idx.Corrupt, match="SHA-256") as raised:
        idx.read_verified(tmp_path / "x", SHAPE, "0" * 64)
    assert raised.value.digest == f"sha256 {idx.digest(ARRAY)}"


def test_an_unreadable_file_is_corrupt(tmp_path):
    with pytest.raises(idx.Corrupt, match="cannot be read"):
        idx.read(tmp_path, SHAPE)
