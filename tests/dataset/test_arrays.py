"""Own arrays: taken as they are, known by what they hold, refused with a reason."""

import dataclasses
import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import TINY

from fabench.command import cli
from fabench.dataset.arrays import Arrays
from fabench.dataset.digits import Digits
from fabench.run.store import RunFolder
from fabench.schema import UserError


@pytest.fixture
def given(tmp_path):
    """The dataset of a file of these arrays, for valid ones: 12 vectors of three classes."""
    rng = np.random.default_rng(0)

    def write(**changes):
        labels = np.arange(12) % 3
        arrays = {"train_x": rng.normal(size=(12, 5)), "train_y": labels,
                  "test_x": rng.normal(size=(6, 5)), "test_y": labels[:6]}  # fmt: skip
        kept = {name: array for name, array in (arrays | changes).items() if array is not None}
        np.savez(tmp_path / "x.npz", **kept)
        return Arrays("arrays", path=str(tmp_path / "x.npz"))

    return write


def test_what_is_in_the_file_is_the_data(own_data):
    ours, digits = Arrays("arrays", path=str(own_data["arrays"])), Digits("digits")
    images, expected = ours.load(), digits.load()
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(images, name), getattr(expected, name).to(getattr(images, name)))
    for name in ("n_train", "n_test", "n_classes", "file_shape", "item_shape", "n_inputs"):
        assert getattr(ours, name) == getattr(digits, name), name
    assert (images.max_pixel, ours.class_names) == (255, tuple("0123456789"))


def test_vectors_have_no_sides_to_change(given):
    with pytest.raises(UserError, match=r"dataset\.flip=true: .* holds vectors"):
        dataclasses.replace(given(), flip=True)
    square = np.zeros((12, 4, 4))
    assert dataclasses.replace(given(train_x=square, test_x=square[:6]), flip=True).flip


@pytest.mark.parametrize(
    ("shape", "dtype", "item", "file"),
    [
        ((5,), np.float64, (5,), (1, 1, 5)),
        ((6, 4), np.uint8, (1, 6, 4), (1, 6, 4)),
        ((3, 6, 4), np.float16, (3, 6, 4), (3, 6, 4)),
    ],
)
def test_vectors_and_images_of_bytes_and_floats(given, shape, dtype, item, file):
    rng = np.random.default_rng(1)
    train, test = ((100 * rng.random((n, *shape))).astype(dtype) for n in (12, 6))
    dataset = given(train_x=train, test_x=test)
    images = dataset.load()
    assert images.train_images.dtype == (torch.uint8 if dtype == np.uint8 else torch.float32)
    np.testing.assert_array_equal(images.test_images.numpy(), test.astype(np.float32))
    assert (dataset.item_shape, dataset.file_shape) == (item, file)
    assert images.max_pixel == (255 if dtype == np.uint8 else 1)


def test_the_digest_is_of_names_types_shapes_and_bytes(given):
    x = np.arange(24, dtype=np.uint8).reshape(12, 2)
    y = np.arange(12) % 2
    dataset = given(train_x=x, train_y=y, test_x=x, test_y=y)
    sha = hashlib.sha256()
    for split in ("test", "train"):
        sha.update(f"{split}_images uint8 (12, 2)\n".encode() + x.tobytes())
        sha.update(f"{split}_labels int64 (12,)\n".encode() + y.tobytes())
    assert dataset.sha256 == sha.hexdigest()


# -- In runs ---------------------------------------------------------------------------------

OWN = [*TINY, "dataset=arrays", "seed=0", "task=classification", "learning_rule=bp"]


def test_content_and_not_place_is_the_identity(workdir, own_data, tmp_path, capsys):
    """The labels' type is no content; digits themselves, of the same bytes, train alike."""
    shutil.copy(own_data["arrays"], tmp_path / "x.npz")
    for path in (own_data["arrays"], "x.npz"):
        assert cli.main(["run", *OWN, f"dataset.path={path}"]) == 0, capsys.readouterr().err
    assert cli.main(["run", *OWN, "dataset=digits"]) == 0
    ours, digits = sorted((tmp_path / "outputs/runs").iterdir())
    tables = [pd.read_csv(run / "metrics.csv").iloc[:, :-2] for run in (ours, digits)]
    pd.testing.assert_frame_equal(*tables)

    arrays = dict(np.load("x.npz"))
    arrays["test_x"][0, 0, 0] += 1
    np.savez("x.npz", **arrays)
    assert cli.main(["run", *OWN, "dataset.path=x.npz"]) == 0
    assert len(list((tmp_path / "outputs/runs").iterdir())) == 3
    np.savez(own_data["arrays"].with_name("y.npz"), **arrays)
    config = RunFolder.at(ours).config.resolved()["dataset"]
    with pytest.raises(UserError, match="holds other data"):
        Arrays(**config | {"path": str(own_data["arrays"].with_name("y.npz"))})


# -- Refusals --------------------------------------------------------------------------------

X, Y = np.zeros((12, 5)), np.arange(12) % 3
WRONG = {
    "an array is missing": ({"test_y": None}, "has no test_y"),
    "no axes": ({"train_x": np.zeros(12)}, "train_x has 1 axes"),
    "labels of another length": ({"train_y": Y[:-1]}, r"train_y has the shape \[11\]"),
    "one-hot labels": ({"train_y": np.eye(3)[Y]}, r"train_y has the shape \[12, 3\]"),
    "float labels": ({"train_y": Y / 1}, "whole numbers"),
    "negative labels": ({"test_y": Y[:6] - 1}, "whole numbers"),
    "nothing": ({"test_x": X[:0], "test_y": Y[:0]}, "test_x is empty"),
    "whole numbers": ({"train_x": X.astype(int)}, "train_x is int64"),
    "not a number": ({"train_x": X * np.nan}, "no finite"),
    "too large": ({"train_x": X + 1e300}, "no finite"),
    "other sizes": ({"test_x": X[:6, :4]}, r"train_x holds float32 \[5\], test_x float32 \[4\]"),
    "other types": ({"test_x": X[:6].astype(np.uint8)}, "test_x uint8"),
    "an empty class": ({"train_y": Y * 2}, "class 1 has no training item"),
    "a class to test only": ({"test_y": Y[:6] + 1}, "class 3 has test items"),
    "one class": ({"train_y": 0 * Y, "test_y": 0 * Y[:6]}, "one class"),
    "objects": ({"train_x": np.array([{}] * 12)}, "no .npz file of numbers"),
}


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_dataset_is_refused(given, case):
    changes, words = WRONG[case]
    with pytest.raises(UserError, match=words):
        given(**changes)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 100])
def test_a_file_that_is_none(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match="no .npz file of numbers"):
        Arrays("arrays", path=str(tmp_path / "x.npz"))


def test_there_is_nothing_to_fetch(capsys):
    assert cli.main(["data", "arrays"]) == 2
    assert "your own, at dataset.path" in capsys.readouterr().err


def test_a_file_that_changes_between_two_looks_is_noticed(given):
    dataset = given()
    given(train_x=X + 1)
    with pytest.raises(UserError, match="holds other data"):
        dataset.load()


def test_a_path_is_asked_for(tmp_path):
    with pytest.raises(UserError, match="dataset=arrays has a path"):
        Arrays("arrays")
    with pytest.raises(UserError, match="No such file"):
        Arrays("arrays", path=str(tmp_path / "none.npz"))
    with pytest.raises(UserError, match="no .npz|directory"):
        Arrays("arrays", path=str(tmp_path))


def test_what_is_held_out_and_what_is_left_have_every_class(given):
    labels = np.repeat([0, 1, 2], 6)
    x = np.zeros((18, 5))
    with pytest.raises(UserError, match="class 0 is not in the last sixth"):
        given(train_x=x, train_y=labels).check_validation()
    with pytest.raises(UserError, match="class 2 is not before the last sixth"):
        given(train_x=x[:13], train_y=labels[:13]).check_validation()
    given(train_x=x, train_y=np.arange(18) % 3).check_validation()


@pytest.mark.parametrize("low, high, within", [(0, 1, True), (0, 1.01, False), (-0.01, 1, False)])
def test_floats_are_within_0_and_1_if_they_are(given, low, high, within):
    x = np.random.default_rng(0).uniform(0, 1, (6, 5))
    x[2, 3], x[1, 1] = low, high
    dataset = given(test_x=x, train_x=np.full((12, 5), 0.5))
    assert dataclasses.replace(dataset, scaling="unit").within_0_and_1 == within
    assert not dataclasses.replace(dataset, scaling="standardized").within_0_and_1
