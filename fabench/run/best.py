"""The weights of each network's best epoch, kept beside its last ones: ``trainer.keep_best``.

Best is the epoch, of those that are measured, with the highest accuracy (in regression, the lowest
normalized squared error) on validation data; of equal ones the first.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fabench.population.population import Population, Snapshot
from fabench.run.config import Config
from fabench.run.kept import Kept

KEPT = "kept "
"""Before the name of a tensor in a checkpoint: as it was in the row's best epoch."""


def of_best_epochs(saved: Snapshot) -> Snapshot:
    """A checkpoint's tensors with the weights of the best epochs in the place of the last ones."""
    kept = {name.removeprefix(KEPT): t for name, t in saved.items() if name.startswith(KEPT)}
    return saved | kept


class BestWeights:
    """What of the R rows of a population is kept: a function of metrics.csv, and the weights."""

    def __init__(self, config: Config, population: Population) -> None:
        n, score = len(population.rows), config.task.score
        self.population = population
        self.column = f"{'validation' if config.trainer.early_stopping else 'test'}_{score}"
        self.sign = 1 if score == "accuracy" else -1
        self.scores = np.full(n, -np.inf)  # the best so far
        self.kept = Kept(KEPT, self._weights(slice(0, n)))

    def _weights(self, rows: slice | list[int]) -> Snapshot:
        snapshot, own = self.population.snapshot(rows), self.population.parameters
        return {name: tensor for name, tensor in snapshot.items() if name in own}

    def see(self, table: pd.DataFrame) -> list[int]:
        """One measured epoch of some rows, their numbers as its index: returns those for which it
        is the best so far."""
        scores = self.sign * table[self.column].to_numpy()
        better = scores > self.scores[table.index]  # no diverged row's, which is NaN
        rows = table.index[better]
        self.scores[rows] = scores[better]
        return rows.tolist()

    def measure(self, table: pd.DataFrame) -> None:
        """``see`` of all rows, whose networks are those of now."""
        rows = self.see(table)
        self.kept.take(rows, self._weights(rows))

    def restore(self, rows: slice, epochs: Sequence[pd.DataFrame], saved: Snapshot) -> None:
        """Some rows as they were after these measured epochs, from a checkpoint's tensors."""
        for table in epochs:
            self.see(table)
        self.kept.put(rows, saved)
