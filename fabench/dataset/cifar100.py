"""Photographs in colour of a hundred kinds of animals, plants and things, 32 x 32: 50,000 training
and 10,000 test images. The labels are the fine ones, not the twenty kinds of kinds.

Reference: A. Krizhevsky, "Learning multiple layers of features from tiny images", technical report,
University of Toronto, 2009, chapter 3.
"""

from pydantic.dataclasses import dataclass

from fabench.dataset.files.cifar import CifarArchive
from fabench.dataset.files.dataset import CifarDataset
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Cifar100(CifarDataset):
    archive = CifarArchive("CIFAR100", base_folder="cifar-100-python")
    n_classes = 100
