"""Threads for functions that come in lanes: those of one lane in order, lanes side by side."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Condition, Thread
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Lanes(Generic[Result]):
    """A few threads that share out the work of several lanes.

    A free thread goes on with the lane that is furthest behind: so three lanes, fed a little ahead,
    keep two threads busy. Threads see the context variables of who makes them: torch keeps settings
    of its compiler there.
    """

    def __init__(self, n_lanes: int, n_threads: int) -> None:
        self._waiting: list[deque[tuple[Callable[[], Result], Future[Result]]]] = [
            deque() for _ in range(n_lanes)
        ]
        self._busy = [False] * n_lanes
        self._closed = False
        self._changed = Condition()
        self._threads = [
            Thread(target=copy_context().run, args=[self._work], daemon=True)
            for _ in range(n_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, lane: int, function: Callable[[], Result]) -> Future[Result]:
        """Have ``function`` run after all that its lane was given before."""
        future: Future[Result] = Future()
        with self._changed:
            self._waiting[lane].append((function, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Wait for all that was given."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while (lane := self._next()) is None:
                    if self._closed and not any(self._waiting):
                        return
                    self._changed.wait()
                function, future = self._waiting[lane].popleft()
                self._busy[lane] = True
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
            with self._changed:
                self._busy[lane] = False
                self._changed.notify_all()

    def _next(self) -> int | None:
        """The free lane that has most to do."""
        free = [i for i, w in enumerate(self._waiting) if w and not self._busy[i]]
        return max(free, key=lambda lane: len(self._waiting[lane]), default=None)
