"""The reader, on tiny files in CIFAR's own format: see test_cifar10."""

import numpy as np

from fabench.dataset.cifar100 import Cifar100

CIFAR100 = Cifar100("cifar100")


def batch(n, seed):
    rng = np.random.default_rng(seed)
    return {
        "filenames": [f"{i}.png" for i in range(n)],
        "batch_label": "1 of 1",
        "fine_labels": rng.integers(20, 100, n).tolist(),
        "coarse_labels": rng.integers(0, 20, n).tolist(),
        "data": rng.integers(0, 256, (n, 3072), np.uint8),
    }


def test_images_and_fine_labels(cifar):
    names = [f"kind {n}" for n in range(100)]
    meta = {"fine_label_names": names, "coarse_label_names": names[:20]}
    content = {"train": batch(12, 0), "test": batch(5, 1), "meta": meta}
    folder = cifar("CIFAR100", content)
    assert folder.name == "cifar-100-python"
    images = CIFAR100.load(str(folder.parent))
    for split in ("train", "test"):
        pool = images.pool(split, 0, [0])
        np.testing.assert_array_equal(pool.values, content[split]["data"])
        np.testing.assert_array_equal(pool.labels, content[split]["fine_labels"])
    assert images.n_classes == 100 and images.source == str(folder)
    status = CIFAR100.status(str(folder.parent))
    assert status.state == "present"
    assert [array.name for array in status.arrays] == ["train", "test", "meta"]


def test_sizes_are_known_unloaded():
    assert (CIFAR100.n_train, CIFAR100.n_test, CIFAR100.n_classes) == (50_000, 10_000, 100)
    assert CIFAR100.image_shape == (3, 32, 32) and CIFAR100.n_inputs == 3072
