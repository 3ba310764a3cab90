"""Early stopping: a training ends where its validation loss says that it overfits.

E_va(t), E_tr(t): validation and training loss of epoch t = 1, 2, ...; E_opt(t): the lowest
validation loss up to t. A strip is k epochs, and ends where k divides t.

    GL(t) = 100 (E_va(t) / E_opt(t) - 1)                              (1)
    P_k(t) = 1000 (mean / min of E_tr(t-k+1), ..., E_tr(t) - 1)       (2)
    PQ(t) = GL(t) / P_k(t)                                            (3)

    GL stops after the first epoch with GL(t) > alpha                 (4)
    PQ stops after the first strip with PQ(t) > alpha                 (5)
    UP stops after the first s strips in a row with E_va(t) > E_va(t-k) at their ends (6)

A network that has stopped goes back to its epoch of E_opt, with all that moves, and stays there.

Reference: L. Prechelt, "Early stopping - but when?", Neural Networks: Tricks of the Trade, 1998,
section 2.

Differences from the paper:
1. An epoch here is one that is measured: ``trainer.metrics_every`` makes strips longer.
2. A training that comes to its last epoch without stopping keeps that epoch's network.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from fabench.population.population import Population, Snapshot
from fabench.run.kept import Kept
from fabench.run.settings import Trainer
from fabench.run.store import TIMES

BEST = "best "
"""Before the name of a tensor in a checkpoint: as it was in the row's best epoch."""


def generalization_loss(validation: Sequence[float]) -> float:
    """GL, in %, after the last of these epochs."""
    last, best = validation[-1], min(validation)
    if last == best:
        return 0.0
    return 100 * (last / best - 1) if best > 0 else math.inf  # (1)


def progress(training: Sequence[float]) -> float:
    """P_k, in thousandths, of k epochs."""
    lowest, mean = min(training), sum(training) / len(training)
    return 1000 * (mean / lowest - 1) if lowest > 0 else math.inf  # (2)


def stops(
    validation: Sequence[float], training: Sequence[float], criterion: str, threshold: float, k: int
) -> bool:
    """Whether a training ends after the last of these epochs, if it has not before."""
    if criterion == "GL":
        return generalization_loss(validation) > threshold  # (4)
    if len(validation) % k:
        return False
    if criterion == "PQ":
        return generalization_loss(validation) > threshold * progress(training[-k:])  # (3), (5)
    ends = validation[k - 1 :: k][-int(threshold) - 1 :]
    return len(ends) == threshold + 1 and all(a < b for a, b in pairwise(ends))  # (6)


class EarlyStopping:
    """What early stopping knows of the R rows of a population: a function of metrics.csv, and the
    networks of the best epochs.

    A row is held from where it stops, or diverges: its later epochs are copies of its best one, or
    of that in which it diverged.
    """

    def __init__(self, trainer: Trainer, population: Population) -> None:
        n = len(population.rows)
        self.trainer, self.population = trainer, population
        self.stopped, self.held = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        self.losses: list[list[tuple[float, float]]] = [[] for _ in range(n)]  # E_va, E_tr
        self.rows: dict[int, pd.DataFrame] = {}  # what is copied, by row
        self.kept = Kept(BEST, population.snapshot(slice(0, n)))

    def see(self, table: pd.DataFrame) -> tuple[pd.DataFrame, list[int]]:
        """One measured epoch of some rows, their numbers as its index.

        Returns it as metrics.csv has it, and the rows whose networks are to be kept.
        """
        table = self._copied(table.assign(stopped=self.stopped[table.index].astype(int)))
        epoch, rows = int(table.epoch.iloc[0]), list[int]()
        for r in table.index[~self.held[table.index]].tolist() if epoch > 0 else ():
            row = table.loc[[r]]
            self.held[r] = row.diverged.item() == 1
            self.losses[r].append((row.validation_loss.item(), row.train_loss.item()))
            validation, training = zip(*self.losses[r], strict=True)
            if self.held[r] or validation[-1] < min(validation[:-1], default=math.inf):
                self.rows[r] = row
                rows.append(r)
            elif epoch < self.trainer.epochs and self._stops(validation, training):
                self.stopped[r] = self.held[r] = True
        return table, rows

    @property
    def measured(self) -> dict[int, int]:
        """The epoch of which the later ones are copies, by row that is held."""
        return {row: int(own.epoch.item()) for row, own in self.rows.items() if self.held[row]}

    def _stops(self, validation: Sequence[float], training: Sequence[float]) -> bool:
        t = self.trainer
        assert t.early_stopping is not None
        settings = (t.early_stopping, t.early_stopping_threshold, t.early_stopping_strip)
        return stops(validation, training, *settings)

    def _copied(self, table: pd.DataFrame) -> pd.DataFrame:
        """The same with copies for the rows that are held."""
        held = table.index[self.held[table.index]]
        if not len(held):
            return table
        own = ["epoch", "stopped", *TIMES]
        copies = pd.concat([self.rows[r] for r in held.tolist()])
        copies[own] = table.loc[held, own]
        return pd.concat([table.drop(index=held), copies]).sort_index()

    def measure(self, table: pd.DataFrame) -> pd.DataFrame:
        """``see`` of all rows, whose networks are those of now."""
        table, rows = self.see(table)
        self.kept.take(rows, self.population.snapshot(rows))
        return table

    def put_back(self) -> None:
        """The networks of held rows as they are held."""
        rows = np.flatnonzero(self.held).tolist()
        self.population.restore(rows, {name: t[rows] for name, t in self.kept.tensors.items()})

    def restore(self, rows: slice, epochs: Sequence[pd.DataFrame], saved: Snapshot) -> None:
        """Some rows as they were after these measured epochs, from a checkpoint's tensors."""
        for table in epochs:
            self.see(table)
        self.kept.put(rows, saved)

    def last_epoch(self, table: pd.DataFrame) -> pd.DataFrame | None:
        """Of a job whose measured epoch ``table`` is, and all of whose rows are held: the epoch in
        which they are all marked, this one or (none trains in it) the next; else None."""
        if not self.held[table.index].all():
            return None
        if ((table.stopped == 1) | (table.diverged == 1)).all():
            return table
        following = table.assign(epoch=table.epoch + 1, seconds=0.0, examples_per_second=np.nan)
        return self.see(following)[0]
