"""Memory that every step uses again."""

import ctypes
import functools
import threading
from contextlib import suppress

import torch
from torch import Tensor

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's numbers of what ``mallopt`` sets."""


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep what a step has freed, up to 32 MiB apiece (it allows no more), for
    the next step: convolutions of three networks take a third less time so. Where it is not
    glibc, nothing happens."""
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 2**25)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


class Scratch:
    """Memory for what a step makes of a weight's size: new memory at every step costs a CPU as much
    in page faults as arithmetic. One set a thread serves all rows."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def __call__(self, name: str, like: Tensor, dtype: torch.dtype) -> Tensor:
        """Memory of this shape, until the next call."""
        buffers, key = vars(self._of_thread), f"{name} {tuple(like.shape)}"
        if key not in buffers:
            buffers[key] = torch.empty_like(like, dtype=dtype)
        return buffers[key]
