"""The reader, on tiny files in CIFAR's own format. What it shares with cifar100 is tested here."""

import pickle
import shutil
import sys
import warnings
from urllib.error import URLError

import numpy as np
import pytest
import torch

from fabench.command import cli
from fabench.command.data import report
from fabench.dataset.cifar10 import Cifar10
from fabench.dataset.files import download
from fabench.dataset.files.download import from_torchvision  # before conftest replaces it
from fabench.schema import UserError

CIFAR10 = Cifar10("cifar10")
BATCHES = [f"data_batch_{n}" for n in range(1, 6)]
FOLDER = "cifar-10-batches-py"


@pytest.fixture
def content():
    """Five batches of two images and three test images. A row is 1,024 red pixels, row after row,
    then the green ones, then the blue ones."""
    rng = np.random.default_rng(0)
    files = {
        name: {
            "batch_label": name,
            "labels": rng.integers(0, 10, n).tolist(),
            "data": rng.integers(0, 256, (n, 3072), np.uint8),
            "filenames": [f"{i}.png" for i in range(n)],
        }
        for name, n in [*dict.fromkeys(BATCHES, 2).items(), ("test_batch", 3)]
    }
    names = [f"kind {n}" for n in range(10)]
    return {**files, "batches.meta": {"label_names": names, "num_vis": 3072}}


@pytest.fixture
def folder(cifar, content):
    return cifar("CIFAR10", content)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "xdg" / "fabench" / FOLDER


def test_images_and_labels_in_the_files_order(folder, content):
    images = CIFAR10.load(str(folder.parent))
    rows = np.concatenate([content[name]["data"] for name in BATCHES])
    labels = np.concatenate([content[name]["labels"] for name in BATCHES])
    assert images.train_images.dtype == images.train_labels.dtype == torch.uint8
    assert images.train_images.shape == (10, 3, 32, 32) and images.test_images.shape[0] == 3
    for n, channel, row, column in [(0, 0, 0, 0), (3, 0, 0, 5), (9, 1, 2, 5), (7, 2, 31, 30)]:
        pixel = rows[n, 1024 * channel + 32 * row + column]
        assert images.train_images[n, channel, row, column] == pixel
    np.testing.assert_array_equal(images.pool("train", 0, [0]).values, rows)
    np.testing.assert_array_equal(images.train_labels, labels)
    np.testing.assert_array_equal(images.pool("test", 0, [0]).values, content["test_batch"]["data"])
    np.testing.assert_array_equal(images.test_labels, content["test_batch"]["labels"])
    assert (images.n_classes, images.max_pixel, images.source) == (10, 255, str(folder))


def test_moments_are_those_of_all_channels_together(folder, content):
    images = CIFAR10.load(str(folder.parent))
    rows = np.concatenate([content[name]["data"] for name in BATCHES]).astype(np.float64)
    assert images.pixel_mean == pytest.approx(rows.mean(), rel=1e-14)
    assert images.pixel_std == pytest.approx(rows.std(), rel=1e-13)


def test_what_numpy_says_of_old_pickles_is_not_passed_on(folder, monkeypatch, capfd):
    read = pickle.load

    def chatty(file, **options):
        warnings.warn("dtype(): align should be passed as a boolean", stacklevel=2)
        return read(file, **options)

    monkeypatch.setattr("torchvision.datasets.cifar.pickle.load", chatty)
    CIFAR10.load(str(folder.parent))
    assert capfd.readouterr() == ("", "")


def test_sizes_are_known_unloaded():
    assert (CIFAR10.n_train, CIFAR10.n_test, CIFAR10.n_classes) == (50_000, 10_000, 10)
    assert CIFAR10.image_shape == (3, 32, 32) and CIFAR10.n_inputs == 3072


def test_a_given_folder_comes_before_the_cache(folder, cache, monkeypatch):
    shutil.copytree(folder, cache)
    monkeypatch.setenv("FABENCH_DATA", str(folder.parent))
    assert CIFAR10.load().source == str(folder)
    monkeypatch.delenv("FABENCH_DATA")
    assert CIFAR10.load().source == str(cache)


@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_corrupt_file_is_named(folder, file):
    bad = folder / file
    bad.write_bytes(bad.read_bytes()[:-1] + b"!")
    with pytest.raises(UserError, match="has MD5 .* instead of .*; replace it") as raised:
        CIFAR10.load(str(folder.parent))
    assert str(raised.value).startswith(str(bad)) and str(raised.value).count("\n") == 0
    status = CIFAR10.status(str(folder.parent))
    assert status.state == "corrupt" and len(status.arrays) == 7
    assert [array.name for array in status.arrays if array.problem] == [file]


@pytest.mark.parametrize("file", ["data_batch_5", "test_batch", "batches.meta"])
def test_a_missing_file_is_looked_for_elsewhere(folder, cache, file):
    whole = shutil.copytree(folder, cache)
    (folder / file).unlink()
    assert CIFAR10.load(str(folder.parent)).source == str(whole)
    shutil.rmtree(cache)
    with pytest.raises(UserError) as raised:
        CIFAR10.load(str(folder.parent))
    message = str(raised.value)
    assert message.startswith("CIFAR10 cannot be found") and message.count("\n") == 0
    assert f"{folder} is missing or incomplete" in message and "offline" in message
    assert CIFAR10.status(str(folder.parent)).state == "missing"


def test_missing_is_told_without_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    status = CIFAR10.status()
    assert status.state == "missing" and "xdg" in status.where


# Download


@pytest.fixture
def server(folder, monkeypatch):
    """torchvision's own download code; its archive is the tiny dataset. Lists the URLs."""
    urls = []
    stored = folder.parent.rename(folder.parent.with_name("server"))

    def extract(url, root, **_):
        urls.append(url)
        print("100%")
        shutil.copytree(stored, root, dirs_exist_ok=True)

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", extract)
    monkeypatch.setattr(download, "from_torchvision", from_torchvision)
    return urls


def test_fetched_into_the_cache_once(server, cache, content, capsys):
    images = CIFAR10.load()
    assert "torchvision" in images.source and images.source.endswith(str(cache))
    assert len(images.train_labels) == 10
    assert sorted(path.name for path in cache.iterdir()) == sorted(content)
    assert [path.name for path in cache.parent.iterdir()] == [FOLDER]
    assert capsys.readouterr().out == ""
    assert CIFAR10.load().source == str(cache) and len(server) == 1


def test_a_corrupt_cache_is_fetched_again(server, cache):
    CIFAR10.load()
    (cache / "data_batch_1").write_bytes(b"junk")
    assert len(CIFAR10.load().train_labels) == 10 and len(server) == 2
    assert CIFAR10.status().state == "present"


def test_a_server_that_does_not_answer(server, cache, monkeypatch):
    def unreachable(url, root, **_):
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", unreachable)
    with pytest.raises(UserError, match="torchvision's download failed .*no route") as raised:
        CIFAR10.load()
    assert f"a folder that holds {FOLDER}/ with" in str(raised.value)
    assert not cache.exists()


def test_fabench_data(server, cache, capsys):
    assert cli.main(["data", "cifar10"]) == 0
    first, *files = capsys.readouterr().out.splitlines()
    assert first.split() == ["cifar10", "present", str(cache)]
    assert [line.split()[0] for line in files] == [*BATCHES, "test_batch", "batches.meta"]
    assert all(" md5 " in line and line.endswith("  verified") for line in files)
    (cache / "test_batch").write_bytes(b"junk")
    assert cli.main(["data"]) == 1
    assert "cifar10         corrupt" in capsys.readouterr().out
    assert {row.name: row.state for row in report()}["cifar100"] == "missing"
