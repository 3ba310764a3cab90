"""Loggers: every metric of every seed, as it is measured, to where others look at curves.

A log holds what metrics.csv does and never decides anything: who can no longer write one says so
once, and the run goes on. ``logger=[tensorboard,wandb]`` in conf/config.yaml.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fabench.run.catalogue import flat
from fabench.schema import UserError

if TYPE_CHECKING:
    import pandas as pd

    from fabench.run.config import Config
    from fabench.run.store import RunFolder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """What a log is of: one seed of the run in ``folder``."""

    folder: Path
    seed: int
    settings: dict[str, Any]
    """By the keys of a command line: numbers, words and lists."""

    @property
    def name(self) -> str:
        return f"{self.folder.name}/seed_{self.seed}"


class SeedLog(ABC):
    """One seed's log. Opened again it goes on; ``last`` is the last epoch that it has."""

    last = -1

    @abstractmethod
    def __init__(self, subject: Subject, fresh: bool) -> None:
        """``fresh``: the run starts over, and what an earlier one has left goes."""

    @abstractmethod
    def add(self, epoch: int, metrics: dict[str, float]) -> None:
        """One more epoch; numbers that are not finite are left out."""

    @abstractmethod
    def attach(self, plot: Path) -> None:
        """A picture."""

    @abstractmethod
    def close(self) -> None:
        """Everything is written."""


def check(config: Config) -> None:
    """Raises UserError if a logger is asked for that is not installed."""
    for name in config.general.logger:
        if importlib.util.find_spec(name) is None:
            raise UserError(f"logger={name} is not installed: pip install 'fabench[{name}]'.")


@contextmanager
def opened(logs: Sequence[tuple[Logs, Sequence[pd.DataFrame]]]) -> Iterator[None]:
    """Within this context runs are logged. Each comes with its rows of metrics.csv so far, by
    epoch: a log gets those that it lacks."""
    try:
        for log, history in logs:
            log.open(history)
        yield
    finally:
        for log, _ in logs:
            log.close()


def kind(name: str) -> type[SeedLog]:
    """The class of a logger's logs; its library is loaded with it."""
    module = importlib.import_module(f"fabench.run.logger.{name}")
    found: type[SeedLog] = getattr(module, name.title())
    return found


class Logs:
    """All logs of a run: every logger's of every seed."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.logs: list[tuple[str, int, SeedLog]] = []

    def open(self, history: Sequence[pd.DataFrame]) -> None:
        """See ``opened``."""
        path, config = self.folder.path, self.folder.config
        settings = {key: v for key, v in flat(config.resolved()).items() if key != "seed"}
        for name in config.general.logger:
            for seed in config.seeds:
                subject = Subject(path, seed, settings)
                self._try(name, seed, partial(self._open, name, subject, not history))
        for rows in history:
            self.add(rows)

    def _open(self, name: str, subject: Subject, fresh: bool) -> None:
        self.logs.append((name, subject.seed, kind(name)(subject, fresh)))

    def add(self, rows: pd.DataFrame) -> None:
        """An epoch's rows of metrics.csv, one of every seed."""
        by_seed = {int(row.pop("seed")): row for row in rows.to_dict("records")}
        for name, seed, one in list(self.logs):
            metrics = {str(key): float(v) for key, v in by_seed[seed].items() if math.isfinite(v)}
            epoch = int(metrics.pop("epoch"))
            if epoch > one.last:
                self._try(name, seed, partial(one.add, epoch, metrics))
                one.last = epoch

    def attach(self, plots: Sequence[Path]) -> None:
        """Pictures of the run, to every seed's log."""
        for name, seed, one in list(self.logs):
            for plot in plots:
                self._try(name, seed, partial(one.attach, plot))

    def close(self) -> None:
        """Everything is written."""
        for name, seed, one in list(self.logs):
            self._try(name, seed, one.close)

    def _try(self, name: str, seed: int, action: Callable[[], None]) -> None:
        """Whatever fails, a server say, ends this log, not the run."""
        try:
            action()
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            logger.warning("logger=%s, seed %s, goes no further: %s", name, seed, reason)
            self.logs = [entry for entry in self.logs if entry[:2] != (name, seed)]
