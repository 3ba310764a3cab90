"""Everything random is a function of (seed, stream, epoch): there is no hidden generator state.

So a resumed run draws what an uninterrupted one draws, a row of a population draws what it draws
alone, and a GPU sees the same numbers as a CPU (all are drawn on the CPU and then moved).
"""

import hashlib
from collections.abc import Sequence

import numpy as np


def generator(seed: int, stream: str, epoch: int = 0) -> np.random.Generator:
    """The generator of one stream ("weights 1", "feedback 1", "train", "test", ...) in one epoch.

    Streams are independent of one another: NumPy's SeedSequence mixes the three numbers.
    """
    name = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, name, epoch])))


def streams(seeds: Sequence[int]) -> tuple[list[int], list[int]]:
    """The distinct seeds, in order, and for every row which of them is its own."""
    distinct = list(dict.fromkeys(seeds))
    return distinct, [distinct.index(seed) for seed in seeds]
