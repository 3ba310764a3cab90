"""Photographs of clothing in ten kinds, 28 x 28: 60,000 training and 10,000 test images.

Reference: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
machine learning algorithms", 2017, arXiv:1708.07747.
"""

from pydantic.dataclasses import dataclass

from fabench.dataset.files.dataset import IdxDataset
from fabench.dataset.files.source import IdxArchive
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class FashionMnist(IdxDataset):
    archive = IdxArchive(
        name="FashionMNIST",
        sha256={
            "train_images": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train_labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "test_images": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "test_labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    )
