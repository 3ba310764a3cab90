"""Runs from checked configurations: train what is not finished, side by side where possible.

What trains and what draws is imported when there is something to: pandas and Matplotlib cost as
much as half of torch.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from yaml import YAMLError

from fabench.model.layer.kernel import threads_an_operation
from fabench.population.population import takes_threads
from fabench.population.precision import flushed_denormals
from fabench.run.config import Config, resolve_device
from fabench.run.costs import check_memory, cost, memory_of, row_bytes, sizes
from fabench.run.logger import base as logger
from fabench.run.progress import plan, shown
from fabench.run.store import RunFolder
from fabench.run.workers import side_by_side
from fabench.schema import RunFailed, UserError

if TYPE_CHECKING:
    from fabench.run.trainer import Reporter

log = logging.getLogger(__name__)

PROCESSES_FROM = 2**17
"""Steps of small networks (about 0.5 ms each) from which processes of their own, each of which
takes seconds to start, pay."""


@dataclass
class Outcome:
    """What became of one configuration."""

    config: Config
    folder: RunFolder
    place: tuple[int, int] = (-1, 0)  # whole epochs, batches of the next: see RunFolder.place
    beginning: Outcome | None = None  # a shorter run, at whose end this one's training begins
    error: UserError | RunFailed | None = None
    trained: bool = False

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.folder.status in ("finished", "failed")

    def note_failure(self) -> None:
        """A run that has failed has an error, though it is trained."""
        if self.error is None and self.folder.status == "failed":
            self.error = RunFailed(str(self.folder.manifest()["reason"]))

    @property
    def epochs_left(self) -> int:
        """The one under way included."""
        return self.config.trainer.epochs - max(0, self.place[0])

    @property
    def network_steps_left(self) -> int:
        """Steps of all its networks."""
        return self.config.steps(self.epochs_left) * len(self.config.seeds)


@dataclass
class Job:
    """One job of a command: its overrides, and what became of it.

    ``outcome`` is None where the configuration itself was refused or the job broke: then ``error``
    says why.
    """

    overrides: dict[str, str]
    outcome: Outcome | None
    ending: UserError | RunFailed | None = None

    @property
    def status(self) -> str:
        """The run's, refused or failed."""
        if self.error is None:
            assert self.outcome is not None
            return self.outcome.folder.status
        return "refused" if self.outcome is None and isinstance(self.error, UserError) else "failed"

    @property
    def error(self) -> UserError | RunFailed | None:
        return self.outcome.error if self.outcome else self.ending


Group = Sequence[Outcome]
"""Runs that train as one population."""

Numbered = dict[int, Group]
"""By their places in the plan."""

Train = Callable[[Group, "Reporter"], UserError | RunFailed | None]


def find(config: Config, folder: RunFolder | None = None) -> Outcome:
    """The run as it stands: where its training is, or why it cannot be trained. ``folder``: its
    own, where it is locked."""
    outcome = Outcome(config, folder or RunFolder(config))
    try:
        check_installed(config)
        outcome.place = outcome.folder.place()
        if not outcome.finished and config.general.cluster.name == "none":
            check_memory(config)
    except UserError as error:
        outcome.error = error
    return outcome


def check_installed(config: Config) -> None:
    """Raises UserError if the device, or what logs are written with, is not here."""
    resolve_device(config)
    logger.check(config)


@flushed_denormals()
def execute(
    configs: Sequence[Config], command: str, keep_weights: bool = True, patience: float = 0.0
) -> list[Outcome]:
    """Train, continue or find every configuration, here; one Outcome each, in order.

    ``keep_weights``: whether finished runs have a checkpoint; ``patience``: seconds to wait for a
    folder that another process holds. A configuration that fails does not stop the others. Raises
    Interrupted on a signal.
    """
    outcomes: dict[Path, Outcome] = {}
    with ExitStack() as locks:
        for config in configs:
            folder = RunFolder(config)
            if folder.path in outcomes:
                continue
            outcome = find(config)
            overwrite = config.general.overwrite
            if overwrite or (outcome.error is None and not outcome.finished):
                try:
                    check_installed(config)  # before there is a folder
                    check_memory(config)
                    locks.enter_context(folder.locked(patience))
                    if overwrite:
                        folder.clear()
                    outcome = find(config, folder)
                except UserError as error:
                    outcome.error = error
                except OSError as error:
                    outcome.error = _unwritable(folder, error)
            outcomes[folder.path] = outcome
        if len(outcomes) == 1:
            _find_beginning(*outcomes.values())
        groups = populations(list(outcomes.values()))
        _train_all(groups, partial(_train, command, keep_weights), len(configs) > 1)
        for outcome in outcomes.values():
            outcome.note_failure()
    return [outcomes[RunFolder(config).path] for config in configs]


def _train_all(groups: Sequence[Group], train: Train, numbered: bool) -> None:
    """Train populations, one after the other or, in processes of their own, side by side."""
    costs = [
        sum(
            cost(o.config, o.epochs_left if o.beginning else o.config.trainer.epochs) for o in group
        )
        for group in groups
    ]
    left = [sum(cost(o.config, o.epochs_left) for o in group) for group in groups]
    workers, aside = _in_processes(dict(enumerate(groups)))
    errors = {}
    with shown(costs, left, numbered) as progress:
        for number, group in enumerate(groups):
            if number not in aside:
                reporter = progress.population(number)
                errors[number] = train(group, reporter)
                reporter.finish()
        errors |= side_by_side(train, aside, _earlier(groups), progress, workers)
    for number, error in errors.items():
        for outcome in groups[number]:
            outcome.trained = error is None or outcome.finished  # before the others failed
            outcome.error = None if outcome.trained else error


def _in_processes(groups: Numbered) -> tuple[int, Numbered]:
    """How many populations train at a time in processes of their own, and which ones.

    All, where ``workers`` is more than one; where it is null those that keep only one core busy, if
    there is enough of them.
    """
    wanted = groups[0][0].config.general.workers if groups else 1
    if wanted is not None:
        return wanted, groups if min(wanted, len(groups)) > 1 else {}
    cores = torch.get_num_threads()
    small = {number: group for number, group in groups.items() if _is_small(group[0].config)}
    steps = sum(o.network_steps_left for group in small.values() for o in group)
    return cores, small if min(cores, len(small)) > 1 and steps >= PROCESSES_FROM else {}


def _is_small(config: Config) -> bool:
    """Whether a population keeps only one core busy: its networks are too small for threads."""
    return resolve_device(config).type == "cpu" and not takes_threads(config.layers())


def _earlier(groups: Sequence[Group]) -> list[set[int]]:
    """The groups, by number, that hold what each group's runs go on from."""
    number = {o.folder.path: number for number, group in enumerate(groups) for o in group}
    beginnings = ([o.beginning.folder.path for o in group if o.beginning] for group in groups)
    return [{number[path] for path in paths if path in number} for paths in beginnings]


def populations(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """Group the runs that are to be trained and can be side by side: equal architecture and place,
    memory permitting, or as many as keep a scheduler's jobs busy. A run that goes on from another
    comes after it."""
    _chain([o for o in outcomes if o.error is None])
    waiting = [o for o in outcomes if o.error is None and not o.finished]
    networks = sum(len(o.config.seeds) for o in waiting)
    groups: dict[object, list[list[Outcome]]] = {}
    for outcome in sorted(waiting, key=lambda o: o.config.trainer.epochs if o.beginning else 0):
        config = outcome.config
        shared = (config.general.data_dir, config.trainer.checkpoint_every)
        kernel = (outcome.beginning or outcome).folder.fp32_kernel
        key = (config.architecture(), shared, outcome.place, outcome.beginning is None, kernel)
        chunks = groups.setdefault(key, [[]])
        if config.general.cluster.name == "none":
            share = math.ceil((config.general.workers or 1) / max(1, torch.cuda.device_count()))
            memory = memory_of(resolve_device(config)) // share
            most = max(1, memory // row_bytes(config))
        else:
            most = math.ceil(networks / (config.general.cluster.array_parallelism or 1))
        rows = sum(len(o.config.seeds) for o in chunks[-1])
        if chunks[-1] and rows + len(config.seeds) > most:
            chunks.append([])
        chunks[-1].append(outcome)
    return [chunk for chunks in groups.values() for chunk in chunks]


def _chain(outcomes: Sequence[Outcome]) -> None:
    """Let new runs go on from those that are the same for fewer epochs: it is what they would do
    themselves (to the last digit, if both or neither compile their update)."""
    shorter: dict[str, Outcome] = {}
    for outcome in sorted(outcomes, key=lambda o: o.config.trainer.epochs):
        course = outcome.config.course()
        if course in shorter and outcome.place == (-1, 0) and not outcome.finished:
            outcome.beginning = shorter[course]
            outcome.place = (shorter[course].config.trainer.epochs, 0)
        shorter[course] = outcome


def _find_beginning(outcome: Outcome) -> None:
    """Let a new run that is asked for alone go on from the longest run on disk that has finished
    and is the same for fewer epochs, as runs of a sweep do. What cannot be read there is none."""
    config, found = outcome.config, []
    if outcome.error or outcome.place != (-1, 0) or config.general.overwrite:
        return
    for path in outcome.folder.path.parent.glob(f"{config.name().rpartition('-')[0]}-*"):
        with suppress(UserError, OSError, TypeError, ValueError, YAMLError):
            folder = RunFolder.at(path)
            epochs = folder.config.trainer.epochs
            shorter = epochs < config.trainer.epochs and folder.config.course() == config.course()
            if shorter and folder.status == "finished" and folder.weights():
                found.append((epochs, Outcome(folder.config, folder, (epochs, 0))))
    if found:
        epochs, outcome.beginning = max(found, key=itemgetter(0))
        outcome.place = (epochs, 0)
        log.info("It goes on from %s after %d epochs.", outcome.beginning.folder.path, epochs)


def _go_on(group: Group) -> None:
    """Where every run of the group has a beginning that is trained, they take it up."""
    pairs = [(o.folder, o.beginning.folder) for o in group if o.beginning]
    if pairs and all(shorter.has_checkpoint(group[0].place) for _, shorter in pairs):
        for folder, shorter in pairs:
            folder.go_on_from(shorter)


def _unwritable(folder: RunFolder, error: OSError) -> RunFailed:
    return RunFailed(
        f"Writing to {folder.path} failed ({error.strerror or error}): mend that and give the same "
        "command again; it continues after the last saved epoch."
    )


def _train(
    command: str, keep_weights: bool, group: Group, reporter: Reporter
) -> UserError | RunFailed | None:
    """Train one population; returns what went wrong, for all its runs."""
    from fabench.run.trainer import Training

    folders = [outcome.folder for outcome in group]
    # Small networks take one, in a process of their own or not, so that sums round alike.
    threads = 1 if _is_small(group[0].config) else torch.get_num_threads()
    device = resolve_device(group[0].config)
    try:
        _go_on(group)
        with (
            threads_an_operation(threads),
            torch.cuda.device(device if device.type == "cuda" else -1),
        ):
            training = Training(folders, command, keep_weights)
            lines = plan([o.config for o in group], training.population.n_parameters())
            reporter.introduce(len(group), lines)
            training.run(reporter)
    except (UserError, RunFailed) as error:
        return error
    except OSError as error:
        return _unwritable(next((o.folder for o in group if not o.finished), folders[0]), error)
    except (NotImplementedError, TypeError) as error:  # torch's words for what a device lacks
        if device.type != "mps" or "MPS" not in str(error):
            raise
        said = str(error).partition(". ")[0]
        return RunFailed(f"trainer.device=mps cannot train this run ({said}): use cpu.")
    except (MemoryError, RuntimeError) as error:  # torch has no MemoryError of its own on a CPU
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        return RunFailed(f"{sizes(group[0].config)}: the memory of this machine is not enough.")
    return None
