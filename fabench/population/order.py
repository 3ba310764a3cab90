"""The order in which an epoch has its training items, one an example, where it is not shuffled.

N items, in the dataset's order 0, 1, ..., N - 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Order:
    """``shuffle``: whether an epoch draws its items as the task does."""

    shuffle: bool = True

    def items(self, n_items: int) -> NDArray[np.int64] | None:
        """The items [N] of an epoch, first to last; None: as the task draws them."""
        return None if self.shuffle else np.arange(n_items)
