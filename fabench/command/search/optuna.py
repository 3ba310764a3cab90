"""``search=optuna``: several settings at once, in a space that Optuna samples.

Trials are asked for in batches: the settings as they are, where the space has them, some at random,
then by Optuna's tree-structured Parzen estimator. They are kept in a SQLite file. A search is a
study in it, named after all that makes trials comparable; the same search, also with more trials,
goes on where it was.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import StorageInternalError
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from pydantic.dataclasses import dataclass

from fabench.command.search.base.method import Method, PointScore
from fabench.command.search.base.space import (
    Bits,
    Bounds,
    Choices,
    Dimension,
    Space,
    SpaceSearch,
)
from fabench.command.search.base.subject import Point, Subject, Value
from fabench.run.progress import console
from fabench.schema import STRICT, RunFailed, UserError


@dataclass(frozen=True, config=STRICT)
class Optuna(SpaceSearch):
    """By Optuna's tree-structured Parzen estimator, after some points at random."""

    def start(self, subject: Subject, folder: Path) -> AbstractContextManager[Method]:
        space = self.dimensions(subject)
        lowest = subject.changed({key: dimension.ends()[0] for key, dimension in space.items()})
        bounds = {key: described(dimension) for key, dimension in space.items()}
        comparable = json.dumps([lowest.identity(), bounds, subject.tuning.last_epochs])
        study = hashlib.sha256(comparable.encode()).hexdigest()[:10]
        as_it_is = {key: subject.value(key, key) for key in space}
        first = (
            as_it_is if all(space[key].holds(value) for key, value in as_it_is.items()) else None
        )
        return trials(folder / "optuna.db", study, space, first, self.trials, self.batch)


def described(dimension: Dimension) -> Any:
    """A dimension as it is named in a study's."""
    if isinstance(dimension, Bounds) and dimension.log:
        return dimension.ends()  # as before there were others
    return [type(dimension).__name__, *dimension.ends()]


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension in Optuna's words."""
    if isinstance(dimension, Bounds):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    if isinstance(dimension, Bits):
        return IntDistribution(dimension.low, dimension.high)
    assert isinstance(dimension, Choices)
    return CategoricalDistribution(dimension.values)


def trained(dimension: Dimension, value: Any) -> Value:
    """A trial's value as it is trained and kept: in three digits, in bounds; of bits a float."""
    if isinstance(dimension, Bounds):
        return dimension.within(value)
    return float(value) if isinstance(dimension, Bits) else value


class Trials:
    """A study as a search of ``total`` trials."""

    def __init__(
        self, study: optuna.Study, space: Space, first: Point | None, total: int, batch: int
    ) -> None:
        self.study, self.space, self.total, self.batch = study, space, total, batch
        self.distributions = {key: distribution(space[key]) for key in space}
        self.asked = 0
        for trial in study.get_trials(states=[TrialState.RUNNING]):
            if trial.params.keys() != space.keys():  # killed while it was asked for
                study.tell(trial.number, state=TrialState.FAIL)
        begun = self._trials() or study.get_trials(states=[TrialState.WAITING])
        if first and not begun:
            study.enqueue_trial(first)

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
        return {key: trained(self.space[key], trial.params[key]) for key in self.space}


@contextmanager
def trials(
    file: Path, name: str, space: Space, first: Point | None, total: int, batch: int
) -> Iterator[Trials]:
    """The search ``name`` in the SQLite ``file``, new or continued; at the end the file is closed.

    ``first`` is its first trial, if there is one. Raises UserError if the file is unusable.
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
        yield Trials(study, space, first, total, batch)
    except StorageInternalError as error:  # a full disk, say
        reason = str(error.__cause__ or error).splitlines()[0]
        raise RunFailed(
            f"{file} cannot be written ({reason}): mend that and give the same command again; it "
            "finds its runs."
        ) from None
    finally:
        storage.remove_session()
        storage.engine.dispose()
