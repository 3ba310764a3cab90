import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from fabench.dataset import digits
from fabench.dataset.digits import Digits
from fabench.schema import UserError

DIGITS = Digits("digits")


def test_split_is_a_partition_in_order():
    """Merging the two sets gives scikit-learn's images back, each once."""
    images, bunch = DIGITS.load(), load_digits()
    known = [image.tobytes() for image in bunch.images.astype(np.uint8)]
    assert len(set(known)) == len(known) == 1797  # no duplicates: the check below is exact
    for part, n in (("train", 1437), ("test", 360)):
        pixels = getattr(images, f"{part}_images").numpy()
        index = [known.index(image.tobytes()) for image in pixels]
        assert len(index) == n and index == sorted(set(index))
        assert np.array_equal(getattr(images, f"{part}_labels").numpy(), bunch.target[index])
        known = [None if i in set(index) else image for i, image in enumerate(known)]
    assert not any(known)


def test_a_scikit_learn_that_keeps_them_elsewhere_is_asked(monkeypatch):
    expected = DIGITS.load()
    digits._drawn_by_hand.cache_clear()
    monkeypatch.setattr(digits, "FILE", "nosuch")
    found = DIGITS.load()
    digits._drawn_by_hand.cache_clear()
    assert torch.equal(found.train_images, expected.train_images)


def test_no_run_imports_scikit_learn():
    program = "import sys; from fabench.dataset.digits import Digits; Digits('digits').load()\n"
    program += "sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_split_is_stratified():
    images, everyone = DIGITS.load(), load_digits().target
    share = np.bincount(everyone) * 360 / 1797
    assert np.all(np.abs(np.bincount(images.test_labels.numpy()) - share) < 1)


def test_no_folder_is_needed():
    assert DIGITS.load("/nowhere").source == "scikit-learn's load_digits"


def test_status():
    status = DIGITS.status()
    assert status.state == "present" and len(status.arrays) == 4
    known = {name: f"sha256 {digest}" for name, digest in digits.SHA256.items()}
    assert {array.name: array.digest for array in status.arrays} == known


def test_other_arrays_are_refused(monkeypatch):
    monkeypatch.setitem(digits.SHA256, "test_images", "0" * 64)
    with pytest.raises(UserError, match="test_images"):
        DIGITS.load()
    status = DIGITS.status()
    assert status.state == "corrupt"
    assert [array.name for array in status.arrays if array.problem] == ["test_images"]
