"""``tune.method=optuna``: several settings at once, each log-uniform between two bounds.

Trials are asked for in batches: the settings as they are, where the bounds hold them, some at
random, then by Optuna's tree-structured Parzen estimator.
They are kept in a SQLite file. A search is a study in it, named after all that makes trials
comparable; the same search, also with more trials, goes on where it was.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from fabench.command.search.base import Point, PointScore, rounded
from fabench.run.progress import console
from fabench.schema import RunFailed, UserError


class Trials:
    """A study as a search of ``total`` trials; see ``Method in base.py``."""

    def __init__(
        self,
        study: optuna.Study,
        space: Mapping[str, Sequence[float]],
        start: Point,
        total: int,
        batch: int,
    ) -> None:
        self.study, self.space, self.total, self.batch = study, space, total, batch
        self.distributions: dict[str, BaseDistribution] = {
            key: FloatDistribution(low, high, log=True) for key, (low, high) in space.items()
        }
        self.asked = 0
        for trial in study.get_trials(states=[TrialState.RUNNING]):
            if trial.params.keys() != space.keys():  # killed while it was asked for
                study.tell(trial.number, state=TrialState.FAIL)
        begun = self._trials() or study.get_trials(states=[TrialState.WAITING])
        if not begun and all(low <= start[key] <= high for key, (low, high) in space.items()):
            study.enqueue_trial(start)

    def ask(self) -> list[Point]:
        """The next batch; first, with it, the trials of earlier calls, told and untold."""
        trials = self._trials()
        told = sum(trial.state.is_finished() for trial in trials)
        end = min(self.total, told - told % self.batch + self.batch)
        # seeded by the count: a search that was stopped goes on as if it had not been
        self.study.sampler = TPESampler(seed=len(trials), multivariate=True, constant_liar=True)
        for _ in range(len(trials), end):
            self.study.ask(self.distributions)
        if told < end:
            console.print(f"Trials {told + 1} to {end} of {self.total}")
        new = self._trials()[self.asked :]
        self.asked += len(new)
        return [self._point(trial) for trial in new]

    def tell(self, scores: Sequence[PointScore]) -> None:
        """Finish the trials that were asked for; diverged ones score minus infinity."""
        means = {score.values: score.mean for score in scores}
        for trial in self.study.get_trials(states=[TrialState.RUNNING]):
            self.study.tell(trial.number, means[tuple(self._point(trial).values())])

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(states=[TrialState.COMPLETE, TrialState.RUNNING])

    def _point(self, trial: FrozenTrial) -> Point:
        """The trial's values as they are trained and kept: in three digits, within bounds."""
        return {
            key: min(max(rounded(trial.params[key]), low), high)
            for key, (low, high) in self.space.items()
        }


@contextmanager
def trials(
    file: Path,
    name: str,
    space: Mapping[str, Sequence[float]],
    start: Point,
    total: int,
    batch: int,
) -> Iterator[Trials]:
    """The search ``name`` in the SQLite ``file``, new or continued; at the end the file is closed.

    ``space`` holds every setting's bounds, lower first; ``start`` is the first trial, if it lies
    within. Raises UserError if the file is unusable.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        connect = partial(sqlite3.connect, file)  # a path in a URL would need escapes
        storage = RDBStorage("sqlite://", engine_kwargs={"creator": connect})
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
    except Exception as error:
        raise UserError(
            f"{file} cannot be used ({type(error).__name__}): remove it, and the same command "
            "finds the runs of its trials again."
        ) from None
    try:
        yield Trials(study, space, start, total, batch)
    except StorageInternalError as error:  # a full disk, say
        reason = str(error.__cause__ or error).splitlines()[0]
        raise RunFailed(
            f"{file} cannot be written ({reason}): mend that and give the same command again; it "
            "finds its runs."
        ) from None
    finally:
        storage.remove_session()
        storage.engine.dispose()
