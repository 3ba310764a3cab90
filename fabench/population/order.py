"""The order in which an epoch has its training items, one an example, where it is not shuffled:
the dataset's, or a curriculum's.

N items of difficulty d_n, a curriculum of E epochs, e = 1, 2, ... the epoch's number:

    r_0, ..., r_{N-1}: the items sorted by d, those of equal d in random order (1)
    epoch e <= E sees r_i, (e-1) N/E <= i < e N/E, again and again (2)

until it has seen N examples, each time with a new order (1) of equal items. So over E epochs each
item is seen about E times, the easy ones first; E = 1 is one pass in sorted order. hard_first sorts
by -d. Afterwards epochs are as ever.

Reference: Y. Bengio, J. Louradour, R. Collobert, J. Weston, "Curriculum learning", ICML 2009,
sections 4.2 (E = 1) and 5 (two difficulties, the switch from one to the other).

Differences from the paper:
1. Its general curriculum reweights all examples and goes on to have the easy ones; ours leaves them
   behind, as those of its experiments do.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fabench.randomness import generator


@dataclass(frozen=True)
class Order:
    """``shuffle``: whether an epoch draws its items as the task does; ``by``: the difficulty of a
    curriculum of so many ``epochs``, None: there is none."""

    shuffle: bool = True
    by: str | None = None
    hard_first: bool = False
    epochs: int = 0

    def items(
        self, seed: int, epoch: int, n_items: int, difficulties: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.int64] | None:
        """The items [N] of an epoch, first to last; None: as the task draws them.

        ``difficulties``: of one stream's items [N], by name.
        """
        if self.by is not None and 1 <= epoch <= self.epochs:
            d = difficulties[self.by]
            return self.curriculum(-d if self.hard_first else d, epoch, seed)
        return None if self.shuffle else np.arange(n_items)

    def curriculum(self, d: NDArray[np.float64], epoch: int, seed: int) -> NDArray[np.int64]:
        """The items [N] of one of the curriculum's epochs."""
        n, rng = len(d), generator(seed, "curriculum", epoch)
        begin, end = (epoch - 1) * n // self.epochs, -(-epoch * n // self.epochs)
        passes = -(-n // (end - begin))
        return np.concatenate([_sorted(d, rng)[begin:end] for _ in range(passes)])[:n]  # (2)


SHUFFLED = Order()
"""As the task draws its items."""


def _sorted(d: NDArray[np.float64], rng: Generator) -> NDArray[np.int64]:
    """Items by difficulty, equal ones in random order."""
    return np.lexsort((rng.random(len(d)), d))  # (1)
