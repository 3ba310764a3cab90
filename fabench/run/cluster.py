"""Runs as jobs of a scheduler: group ``cluster``.

A job holds what trains as one population, and what goes on from it, and does on its node what
``execute`` does here: it takes the folders' leases, so that of two jobs of one run one trains, and
goes on from the checkpoint. When its time is nearly over, submitit's signal lets the training save,
and submitit queues the job again.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.table import Table

from fabench.run.config import Config
from fabench.run.execute import Group, Outcome, check_installed, execute, find, populations
from fabench.run.interruption import Interrupted, Submitted, stop_signals
from fabench.run.lease import EXPIRES
from fabench.run.progress import console
from fabench.run.scheduler import SCHEDULERS, Scheduler, preempted
from fabench.run.settings import Cluster
from fabench.run.store import RunFolder
from fabench.schema import RunFailed, UserError

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

PATIENCE = 2 * EXPIRES
"""Seconds that a job waits for its submitter, and for the lease of a process that may be gone."""

EVERY = {"local": 0.5, "slurm": 5.0}
"""Seconds between two questions to a scheduler."""


@dataclass(frozen=True)
class Job:
    """What a scheduler runs."""

    configs: Sequence[Config]
    command: str
    keep_weights: bool
    threads: int | None

    def __call__(self) -> None:
        """Train, and note in the run folders what stands in the way. Stopped by SIGUSR2, or by
        SIGTERM for a job of higher priority, it is queued again: by submitit's handler."""
        from submitit import JobEnvironment

        if self.threads:
            torch.set_num_threads(self.threads)
        own, until = JobEnvironment().job_id, time.monotonic() + PATIENCE
        folders = [RunFolder(config) for config in self.configs]
        while any(f.job().get("id") != own for f in folders) and time.monotonic() < until:
            time.sleep(0.1)
        try:
            outcomes = execute(self.configs, self.command, self.keep_weights, PATIENCE)
        except Interrupted as stop:
            print(stop)
            signal.raise_signal(signal.SIGUSR2 if preempted() else stop.signum)
            raise SystemExit(stop.exit_code) from None
        for outcome in outcomes:
            if outcome.error and not outcome.finished:
                error = {"error": str(outcome.error), "exit_code": outcome.error.exit_code}
                outcome.folder.note_job(**{**outcome.folder.job(), **error})

    def checkpoint(self) -> DelayedSubmission:
        """What submitit queues again: the same, as the run folders say where it stands."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def carry_out(configs: Sequence[Config], command: str, keep_weights: bool = True) -> list[Outcome]:
    """``execute``, on the cluster that the configurations name, or here.

    Runs whose jobs are queued or running are left to them. Raises Submitted where the command is
    not to wait for what is left, Interrupted on a signal, RunFailed if the scheduler is silent.
    """
    cluster = configs[0].general.cluster if configs else Cluster()
    if cluster.name == "none":
        return execute(configs, command, keep_weights)
    scheduler = SCHEDULERS[cluster.name](cluster, Path(configs[0].general.output_dir, "jobs"))
    outcomes = {RunFolder(config).path: find(config) for config in configs}
    states = scheduler.states(_notes(outcomes.values()))
    for path, outcome in outcomes.items():
        if outcome.config.general.overwrite and outcome.folder.job().get("id") not in states:
            outcomes[path] = _cleared(outcome)
    due = [o for o in outcomes.values() if o.error is None and not o.finished]
    new = [o for o in due if o.folder.job().get("id") not in states]
    for outcome in new:
        if outcome.folder.job():
            line = f"{outcome.folder.path.name}: {_ending(outcome.folder)} It is submitted again."
            console.print(line, soft_wrap=True)
    jobs, told = _jobs(new), ""
    with stop_signals() as signals:
        while True:
            while jobs and (room := scheduler.room(len(states))) > 0:
                states |= _submit(scheduler, jobs[:room], command, keep_weights)
                jobs = jobs[room:]
            words = _words(states, due)
            if due and words != told:
                console.print(told := words)
            if not cluster.wait or not (jobs or states):
                break
            until = time.monotonic() + EVERY[cluster.name]
            while time.monotonic() < until and signals.received is None:
                time.sleep(0.1)
            if signals.received is not None:
                raise Interrupted(
                    "Stopped waiting: the same command shows what its jobs do.", signals.received
                )
            with suppress(RunFailed):  # silent for a while
                states = scheduler.states(_notes(due))
    for outcome in due:
        if outcome.error is None:
            outcomes[outcome.folder.path] = _ended(outcome, states)
    left = [o for o in outcomes.values() if o.error is None and not o.finished]
    if left:
        _show(outcomes.values(), states)
        raise Submitted(
            f"{len(outcomes) - len(left)} of {len(outcomes)} runs are finished: the same command "
            "shows how the others stand, and submits what is missing."
        )
    return [outcomes[RunFolder(config).path] for config in configs]


def _cleared(outcome: Outcome) -> Outcome:
    """A run that starts over."""
    try:
        check_installed(outcome.config)
        with outcome.folder.locked():
            outcome.folder.clear()
    except UserError as error:
        return replace(outcome, error=error)
    return find(outcome.config)


def _jobs(outcomes: Sequence[Outcome]) -> list[Group]:
    """The runs of each job: a population, and those that go on from others with these."""
    jobs: list[list[Outcome]] = []
    for group in populations(outcomes):
        before = {o.beginning.folder.path for o in group if o.beginning}
        job: list[Outcome] = []
        for other in list(jobs):
            if any(o.folder.path in before for o in other):
                jobs.remove(other)
                job += other
        jobs.append([*job, *group])
    return list(jobs)


def _submit(
    scheduler: Scheduler, jobs: Sequence[Group], command: str, keep_weights: bool
) -> dict[str, str]:
    """Submit what no other command has submitted or trains; what stands in the way is its runs'
    error. Returns the states of what was submitted, now or by others."""
    with ExitStack() as locks:
        for outcome in chain(*jobs):
            try:
                locks.enter_context(outcome.folder.locked())
            except UserError as error:
                outcome.error = error
        there = scheduler.states(_notes(chain(*jobs)))
        missing = [
            [o for o in job if not (o.error or o.finished or o.folder.job().get("id") in there)]
            for job in jobs
        ]
        jobs = [job for job in missing if job]
        try:
            notes = scheduler.submit(
                [
                    Job([_at_node(o.config) for o in job], command, keep_weights, scheduler.threads)
                    for job in jobs
                ]
            )
        except RunFailed as error:
            for outcome in chain(*jobs):
                outcome.error = error
            return there
        for job, note in zip(jobs, notes, strict=True):
            for outcome in job:
                outcome.folder.note_job(**note)
    return there | {note["id"]: "pending" for note in notes}


def _at_node(config: Config) -> Config:
    """As a job has it: it trains there, and goes on when it is queued again."""
    general = replace(config.general, cluster=Cluster(), overwrite=False)
    return replace(config, general=general)


def _notes(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    return [o.folder.job() for o in outcomes]


def _ended(outcome: Outcome, states: Mapping[str, str]) -> Outcome:
    """A run after its job, which was there or still is."""
    outcome = find(outcome.config)
    outcome.trained = outcome.finished
    note = outcome.folder.job()
    if outcome.error is None and not outcome.finished and note and note["id"] not in states:
        outcome.error = _ending(outcome.folder)
    outcome.note_failure()
    return outcome


def _ending(folder: RunFolder) -> UserError | RunFailed:
    """Why a job has left a run unfinished: its own word, if it could leave one."""
    note = folder.job()
    if "error" in note:
        kind = UserError if note.get("exit_code") == UserError.exit_code else RunFailed
        return kind(str(note["error"]))
    return RunFailed(
        f"Job {note.get('id')} has ended before it was finished (cancelled, or out of memory or "
        f"time? See {note.get('log')}); the same command goes on after the last saved epoch."
    )


def _words(states: Mapping[str, str], outcomes: Sequence[Outcome]) -> str:
    """How jobs and runs stand, in a line."""
    jobs = ", ".join(f"{n} {state}" for state, n in sorted(Counter(states.values()).items()))
    finished = sum(o.finished for o in outcomes)
    return f"jobs: {jobs or 'none'}; {finished} of {len(outcomes)} runs finished"


def _show(outcomes: Iterable[Outcome], states: Mapping[str, str]) -> None:
    """A table of the runs: what is finished, what has a job and what that does."""
    shown = Table("run", "status", "job")
    for outcome in outcomes:
        note, status = outcome.folder.job(), outcome.folder.status
        job = note.get("id", "-")
        if outcome.error:
            status = str(outcome.error)
        elif not outcome.finished:
            status = states.get(job, "not submitted: too many at a time")
        shown.add_row(outcome.folder.path.name, status, job)
    console.print(shown)
