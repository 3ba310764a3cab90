"""The loop over an epoch's batches: gather, train, score.

Axes: R runs, S data streams, B batch, C outputs.
"""

from collections.abc import Callable, Iterator
from itertools import takewhile

from torch import Tensor

from fabench.examples import Epoch, Examples, Feed
from fabench.graph import Replayed
from fabench.metrics import Score
from fabench.population import AHEAD, Population


class Loop:
    """Takes a population through its epochs' batches, and keeps the score of the epoch under way.

    On a GPU a whole batch's way from the index table to the score is one CUDA graph, and nothing
    waits for the device within an epoch.
    """

    def __init__(self, population: Population, examples: Examples, batch_size: int) -> None:
        self.population, self.examples, self.batch_size = population, examples, batch_size
        self.score = Score(len(population.rows), population.device)
        self.feed: Feed | None = None
        self.replayed = Replayed(self._whole_batch)

    def run(
        self, epoch: Epoch, start: int = 0, wanted: Callable[[], bool] = lambda: True
    ) -> Iterator[int]:
        """Train on the batches from number ``start`` on, as long as they are ``wanted``: yields
        each one's number of examples."""
        self.population.operand.activate()
        return (self._replay if self.population.replays else self._train)(epoch, start, wanted)

    def _train(self, epoch: Epoch, start: int, wanted: Callable[[], bool]) -> Iterator[int]:
        batches = self.examples.batches(epoch, self.batch_size, start, kept=AHEAD + 1)
        for y, *results in self.population.train(takewhile(lambda _: wanted(), batches)):
            self._count(y, *results)
            yield len(y[0])

    def _replay(self, epoch: Epoch, start: int, wanted: Callable[[], bool]) -> Iterator[int]:
        whole = len(epoch) // self.batch_size
        if start < whole:
            self.feed = self.feed or Feed(self.examples, epoch, self.batch_size)
            self.feed.load(epoch, start)
        for _ in range(start, whole):
            if not wanted():
                return
            self.replayed()
            yield self.batch_size
        start = max(start, whole)
        for x, y in takewhile(
            lambda _: wanted(), self.examples.batches(epoch, self.batch_size, start)
        ):
            self._count(y, *self.population.step(x, y))
            yield len(y[0])

    def _whole_batch(self) -> None:
        assert self.feed
        x, y = self.feed.take()
        self._count(y, *self.population.step(x, y))

    def _count(self, y: Tensor, loss: Tensor, output: Tensor) -> None:
        self.score.add(loss, self.population.task.correct(output, y))
