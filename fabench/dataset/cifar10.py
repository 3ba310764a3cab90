"""Photographs in colour of ten kinds of animals and vehicles, 32 x 32: 50,000 training and 10,000
test images.

Reference: A. Krizhevsky, "Learning multiple layers of features from tiny images", technical report,
University of Toronto, 2009, chapter 3.
"""

from pydantic.dataclasses import dataclass

from fabench.dataset.base import CifarDataset
from fabench.dataset.files.source import CifarArchive
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Cifar10(CifarDataset):
    archive = CifarArchive("CIFAR10", base_folder="cifar-10-batches-py")
    n_classes = 10
