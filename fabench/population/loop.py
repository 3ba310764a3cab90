"""The loop over an epoch's batches: gather, train, score."""

from collections.abc import Callable, Iterator
from itertools import takewhile

from fabench.population.cuda_graph import Replayed
from fabench.population.examples import Epoch, Examples, Feed
from fabench.population.metrics import Score
from fabench.population.population import AHEAD, Population

SCORED = 4096
"""Examples that a GPU scores at a time."""


class Loop:
    """Takes a population through its epochs' batches, and keeps the score of the epoch under way.

    On a GPU a whole batch's way from the index table to the output is one CUDA graph, nothing waits
    for the device within an epoch, and outputs are scored when it ends.
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
        each one's number of examples. The score is complete when the last one is out."""
        self.population.operand.activate()
        return (self._replay if self.population.replays else self._train)(epoch, start, wanted)

    def _train(self, epoch: Epoch, start: int, wanted: Callable[[], bool]) -> Iterator[int]:
        batches = self.examples.batches(epoch, self.batch_size, start, kept=AHEAD + 1)
        wanted_ones = takewhile(lambda _: wanted(), batches)
        for output, y in self.population.train(wanted_ones):
            self.score.add(self.population.task, output, y)
            yield len(y[0])

    def _replay(self, epoch: Epoch, start: int, wanted: Callable[[], bool]) -> Iterator[int]:
        size, whole = self.batch_size, len(epoch) // self.batch_size
        if start < whole:
            self.feed = self.feed or Feed(self.examples, epoch, size)
            self.feed.load(epoch, start)
            done = start
            while done < whole and wanted():
                self.replayed()
                done += 1
                yield size
            for output, y in self.feed.results(slice(start, done), SCORED):
                self.score.add(self.population.task, output, y)
            if done < whole:
                return
        yield from self._train(epoch, max(start, whole), wanted)

    def _whole_batch(self) -> None:
        assert self.feed
        self.feed.keep(self.population.step(*self.feed.take()))
