"""Tasks in processes of their own, several at a time: ``workers`` in conf/config.yaml."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import torch

from fabench.population.precision import flushed_denormals
from fabench.run import progress as report
from fabench.run.interruption import Interrupted, stop_signals
from fabench.run.progress import Plan, PopulationReporter
from fabench.schema import RunFailed

if TYPE_CHECKING:
    import pandas as pd

    from fabench.run.trainer import Reporter

Task = TypeVar("Task")

EVERY = 0.1
"""Seconds between two words of a worker on the batches that it has done, and between two looks at
whether all are to stop."""


class Remote:
    """A reporter in a worker: passes everything on to one in the parent process."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe, self.count, self.examples, self.sent = pipe, 0, 0, time.perf_counter()

    def introduce(self, jobs: int, lines: dict[str, str]) -> None:
        self.pipe.send(("introduce", jobs, lines))

    def start(self, epochs: int, batches: int, rows: int, done: int) -> None:
        self.pipe.send(("start", epochs, batches, rows, done))

    def batch(self, examples: int, count: int = 1) -> None:
        self.count += count
        self.examples += examples
        if time.perf_counter() - self.sent >= EVERY:
            self._pass_on()

    def epoch(self, metrics: pd.DataFrame) -> None:
        self._pass_on()
        self.pipe.send(("epoch", metrics))

    def _pass_on(self) -> None:
        self.pipe.send(("batch", self.examples, self.count))
        self.count, self.examples, self.sent = 0, 0, time.perf_counter()


class Worker:
    """A process that does one task after the other."""

    def __init__(self, threads: int, gpu: int | None) -> None:
        """``gpu``: the one that "cuda" means there."""
        spawn = get_context("spawn")  # a fork would inherit a GPU's context, which it cannot use
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_serve, args=(theirs, threads, gpu), daemon=True)
        # Ctrl-C is the parent's, which passes it on: a worker blocks it from its first moment.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        self.process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()  # so that its end is the pipe's

    def take(self, work: object, task: object) -> None:
        """Give it ``work`` to do on ``task``; what keeps it from that it ``says``."""
        with suppress(BrokenPipeError):
            self.pipe.send((work, task))

    def says(self) -> tuple[Any, ...]:
        """Its next word: a reporter's method with arguments, or "answer" with what came of the
        task, RunFailed if that killed the process."""
        try:
            return tuple(self.pipe.recv())
        except (EOFError, OSError):  # killed: before it read its task, or within a word
            self.process.join()
            failure = RunFailed(
                f"Its process ended with code {self.process.exitcode} (out of memory?): the same "
                "command continues after the last saved epoch."
            )
            return "answer", failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, at: object) -> None:
        self.pipe.close()  # it ends when it wants the next task
        if error is not None:
            self.process.kill()
        self.process.join()


def gpu_of(worker: int) -> int | None:
    """The GPU of a worker, counted from 0: they take turns; None where there is none."""
    return worker % torch.cuda.device_count() if torch.cuda.is_available() else None


def _serve(pipe: Connection, threads: int, gpu: int | None) -> None:
    """A worker's life: do what arrives, until the parent closes the pipe."""
    os.setsid()  # what is sent to the parent's group is the parent's
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    if gpu is not None:
        torch.cuda.set_device(gpu)
    report.console.quiet = True
    with suppress(EOFError), flushed_denormals():
        while True:
            work, task = pipe.recv()
            try:
                answer = work(task, Remote(pipe))
            except Interrupted as interrupted:
                answer = interrupted
            pipe.send(("answer", answer))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@dataclass
class Doing(Generic[Task]):
    """A task under way."""

    number: int
    worker: Worker
    reporter: PopulationReporter


def side_by_side(
    work: Callable[[Task, Reporter], Any],
    tasks: dict[int, Task],
    prerequisites: Sequence[set[int]],
    plan: Plan,
    workers: int,
) -> dict[int, Any]:
    """What ``work`` answers to every task; RunFailed for one whose process was killed.

    ``tasks``: by their numbers in the plan; ``prerequisites``: the ones that must be done before
    each. What takes longest, with what waits for it, comes first. Raises Interrupted on a signal,
    when every worker has stopped and saved.
    """

    def cost(number: int) -> float:
        waits = [other for other in waiting if number in prerequisites[other]]
        return plan.left[number] + sum(map(cost, waits))

    answers: dict[int, Any] = {}
    waiting = list(tasks)
    threads = max(1, torch.get_num_threads() // workers)
    idle: list[Worker] = []
    busy: dict[Any, Doing[Task]] = {}  # by the worker's pipe
    started = itertools.count()
    told = False
    with ExitStack() as stack, stop_signals() as signals:
        while busy or (waiting and signals.received is None):
            ready = [
                number
                for number in waiting
                if prerequisites[number] & tasks.keys() <= answers.keys()
            ]
            for number in sorted(ready, key=cost, reverse=True)[: workers - len(busy)]:
                if not idle:
                    worker = Worker(threads, gpu_of(next(started)))
                    idle.append(stack.enter_context(worker))
                worker = idle.pop()
                worker.take(work, tasks[number])
                busy[worker.pipe] = Doing(number, worker, plan.population(number))
                waiting.remove(number)
            for pipe in connection.wait(list(busy), EVERY):
                doing = busy[pipe]
                what, *values = doing.worker.says()
                if what != "answer":
                    getattr(doing.reporter, what)(*values)
                    continue
                del busy[pipe]
                doing.reporter.finish()
                [answers[doing.number]] = values
                if doing.worker.process.is_alive():
                    idle.append(doing.worker)
                if isinstance(values[0], Interrupted):  # somebody has stopped a worker: stop all
                    signals.received = signals.received or signal.SIGTERM
            if signals.received is not None and not told:
                told = True
                for doing in busy.values():
                    doing.worker.process.terminate()  # it saves, and answers
    if signals.received is not None:
        raise Interrupted(
            "Stopped; everything is saved and the same command continues.", signals.received
        )
    return answers
