"""What a training does beside training, in a small part of its time."""

import time
from collections.abc import Callable

KEEPING = 0.05
"""The most of its time that a run spends on each kind of file that it brings up to date after an
epoch: where epochs are short, not after every one."""


class Chore:
    """What may be done again and again, in a small part of the time."""

    def __init__(self, function: Callable[[], None], seconds: float = 0.0) -> None:
        """``seconds``: how long it is thought to take."""
        self.function, self.ended, self.seconds = function, time.perf_counter(), seconds

    @property
    def is_due(self) -> bool:
        """Whether it has been long enough since the last time."""
        return time.perf_counter() - self.ended >= self.seconds / KEEPING

    def __call__(self) -> None:
        """Do it."""
        began = time.perf_counter()
        self.function()
        self.ended = time.perf_counter()
        self.seconds = self.ended - began
