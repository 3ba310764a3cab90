"""Photographs in colour of ten kinds of animals and vehicles, 32 x 32: 50,000 training and 10,000
test images.

Reference: A. Krizhevsky, "Learning multiple layers of features from tiny images", technical report,
University of Toronto, 2009, chapter 3.
"""

from pydantic.dataclasses import dataclass

from fabench.dataset.files.cifar import CifarArchive
from fabench.dataset.files.dataset import CifarDataset
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Cifar10(CifarDataset):
    archive = CifarArchive(
        "CIFAR10",
        base_folder="cifar-10-batches-py",
        binary_folder="cifar-10-batches-bin",
        sha256={
            "train_images": "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
            "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
            "test_images": "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
            "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
        },
        on_npm=True,
    )
    n_classes = 10
