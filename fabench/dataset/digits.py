"""Handwritten digits, 8 x 8, pixels 0 to 16: 1,437 training and 360 test images.

They come with scikit-learn (load_digits, 1,797 images), so no file is needed: for quick tries.
scikit-learn has no split; ours is fixed and stratified: every class has its share of the test set,
rounded up or down. Sort the images by label and, within a label, by the random keys of PCG64(0);
the sorted position i is test if (360 i mod 1797) < 360. Both sets keep scikit-learn's order.

Reference: E. Alpaydin, C. Kaynak, "Cascading classifiers", Kybernetika 34(4), 1998; the test part
of the UCI repository's "Optical recognition of handwritten digits".
"""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from pydantic.dataclasses import dataclass

from fabench.dataset.base.images import ArrayStatus, ImageDataset, Images, Status
from fabench.dataset.files import idx
from fabench.dataset.files.source import Arrays
from fabench.schema import STRICT, UserError

FILE = "datasets/data/digits.csv.gz"
"""Within scikit-learn: a line has an image's pixels and its class."""

SOURCE = "scikit-learn's load_digits"

SHA256 = {
    "train_images": "d7bb3d9c459bd9642c36586caba65320e233463ee92fa037c665621e0da39ad9",
    "train_labels": "90dc24d478e2a22d264cfcc415336e0b5bdc717a7ea1d64ed56f2c01b458325f",
    "test_images": "2639fd905587488a4beb24bd79149b8759ba619913bac5e9bb74509099da5900",
    "test_labels": "05699aa55bec749196f8308f01616fc35e8c75f087f13a0e7ab6ffbff0a2d5c1",
}


@dataclass(frozen=True, config=STRICT)
class Digits(ImageDataset):
    file_shape = (1, 8, 8)
    n_train = 1437
    n_test = 360
    n_classes = 10
    max_pixel = 16

    def load(self, data_dir: str | None = None) -> Images:
        arrays = self._arrays()
        for name, array in arrays.items():
            if idx.digest(array) != SHA256[name]:
                raise UserError(
                    f"{SOURCE} gives {name} that differ from the known ones; reinstall "
                    "scikit-learn."
                )
        return self._images(arrays, SOURCE)

    def status(self, data_dir: str | None = None) -> Status:
        arrays = []
        for name, array in self._arrays().items():
            found = idx.digest(array)
            problem = None if found == SHA256[name] else f"{SOURCE} gives other {name}"
            arrays.append(ArrayStatus(name, f"sha256 {found}", problem))
        return self._checked(SOURCE, arrays)

    def _arrays(self) -> Arrays:
        images, labels = _drawn_by_hand()
        n = len(labels)
        order = np.lexsort((np.random.PCG64(0).random_raw(n), labels))
        test = np.zeros(n, bool)
        test[order] = np.arange(n) * self.n_test % n < self.n_test
        return {
            "train_images": images[~test],
            "train_labels": labels[~test],
            "test_images": images[test],
            "test_labels": labels[test],
        }


@cache
def _drawn_by_hand() -> tuple[np.ndarray, np.ndarray]:
    """load_digits' images and labels, without the second that importing scikit-learn takes."""
    found = importlib.util.find_spec("sklearn")
    assert found is not None and found.origin is not None
    try:
        table = np.loadtxt(Path(found.origin).parent / FILE, dtype=np.uint8, delimiter=",")
    except (OSError, ValueError):  # a version that keeps them otherwise
        from sklearn.datasets import load_digits

        bunch = load_digits()
        return bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1]
