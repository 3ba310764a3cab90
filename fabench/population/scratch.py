"""Memory that every step uses again."""

import threading

import torch
from torch import Tensor


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
