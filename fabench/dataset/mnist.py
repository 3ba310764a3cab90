"""Handwritten digits, 28 x 28: 60,000 training and 10,000 test images.

Reference: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86(11), 1998, section III.A.
"""

from pydantic.dataclasses import dataclass

from fabench.dataset.files.dataset import IdxDataset
from fabench.dataset.files.source import IdxArchive
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Mnist(IdxDataset):
    archive = IdxArchive(
        name="MNIST",
        sha256={
            "train_images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train_labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "test_images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "test_labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        on_package_index=True,
    )
