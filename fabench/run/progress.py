"""What a run tells its user in the terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fabench.parallel.base import WorkerScheme
from fabench.population.precision import cpu_has_bf16
from fabench.run.config import Config, resolve_device
from fabench.run.results import console, percent, print_results, significant
from fabench.run.store import RunFolder

if TYPE_CHECKING:
    import pandas as pd


def plan(configs: Sequence[Config], parameters: int) -> dict[str, str]:
    """What a run, or the runs of one population, are about to do, in words."""
    config = configs[0]
    device = resolve_device(config)
    scalars = {
        key: "|".join(f"{v:g}" for v in dict.fromkeys(c.scalars()[key] for c in configs))
        for key in config.scalars()
    }

    def named(name: str, group: str) -> str:
        """An option's name and the numbers of its group."""
        numbers = [
            f"{key.removeprefix(group + '.')}={value}"
            for key, value in scalars.items()
            if key.startswith(f"{group}.")
        ]
        return f"{name} ({', '.join(numbers)})" if numbers else name

    precision: str = config.precision
    if precision == "bf16" and device.type == "cpu" and not cpu_has_bf16():
        precision += " (this CPU has no bf16 arithmetic: bf16 operands, multiplied in fp32)"
    widths = [config.layers()[0].n_inputs, *(layer.units for layer in config.layers())]
    lines = {"rule": named(config.learning_rule.name, "learning_rule")}
    if config.optimizer:
        lines["optimizer"] = named(config.optimizer.name, "optimizer")
        if config.schedule.name != "constant":
            lines["schedule"] = config.schedule.name
        if isinstance(config.parallel, WorkerScheme):
            lines["parallel"] = f"{config.parallel.name}, {config.parallel.workers} workers"
    lines |= {
        "dataset": config.problem,
        "network": "-".join(map(str, widths)) + f", {parameters:,} trained parameters",
    }
    if config.has_feedback:
        lines["feedback"] = config.init_of_B.name
    if scalars["trainer.weight_decay"] != "0":
        lines["weight decay"] = scalars["trainer.weight_decay"]
    return lines | {
        "seeds": ", ".join(map(str, dict.fromkeys(seed for c in configs for seed in c.seeds))),
        "device": f"{device}, {precision}",
    }


def show_plan(lines: dict[str, str]) -> None:
    """Print the plan, one line per entry."""
    for name, text in lines.items():
        console.print(f"{name:>13}  {text}", soft_wrap=True)


class Plan:
    """How far populations are that train one after the other or side by side, each with its cost.

    On a terminal it is shown by bars (BarPlan), elsewhere by lines.
    """

    def __init__(
        self, costs: Sequence[float], left: Sequence[float], numbered: bool = False
    ) -> None:
        """``costs``: of each population, in any unit; ``left``: how much of it is to be done;
        ``numbered``: whether even a population that is the only one is told from others."""
        self.costs, self.left, self.numbered = costs, list(left), numbered
        self.latest, self.worked, self.began = 0, 0.0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def population(self, number: int) -> PopulationReporter:
        """Who is told how a population's training goes."""
        self.latest = number
        return LineReporter(self, number)

    @property
    def several(self) -> bool:
        """Whether there is more to tell of the plan than of its only population."""
        return len(self.costs) > 1

    def place(self, number: int) -> str:
        """A population among the others, in words."""
        return f"population {number + 1} of {len(self.costs)}"

    @property
    def done(self) -> float:
        """The part of the plan that is done, 0 to 1."""
        return 1 - sum(self.left) / sum(self.costs)

    @property
    def time_left(self) -> str:
        """At the pace so far."""
        if not self.worked:
            return "-:--:-- left"
        pace = (time.perf_counter() - self.began) / self.worked
        return f"{timedelta(seconds=round(pace * sum(self.left)))} left"


class PopulationReporter:
    """What a population's training adds to the plan."""

    def __init__(self, plan: Plan, number: int) -> None:
        self.plan, self.number = plan, number

    def introduce(self, jobs: int, lines: dict[str, str]) -> None:
        """Say what is about to train: see ``plan``."""
        if self.plan.several or self.plan.numbered:
            place = self.plan.place(self.number)
            console.print(f"{place}: {jobs} job{'s' if jobs > 1 else ''}")
        show_plan(lines)

    def start(self, epochs: int, batches: int, rows: int, done: int) -> None:
        cost = self.plan.costs[self.number]
        self.epochs, self.batch_cost = epochs, cost / (epochs * batches)
        self.plan.left[self.number] = cost - done * self.batch_cost
        if not self.plan.worked:
            self.plan.began = time.perf_counter()

    def batch(self, examples: int, count: int = 1) -> None:
        self.plan.left[self.number] -= count * self.batch_cost
        self.plan.worked += count * self.batch_cost

    def epoch(self, metrics: pd.DataFrame) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """The population is done, or does not get any further."""
        self.plan.left[self.number] = 0


class LineReporter(PopulationReporter):
    """One plain line per epoch, for logs and pipes."""

    def start(self, epochs: int, batches: int, rows: int, done: int) -> None:
        super().start(epochs, batches, rows, done)
        if done:
            console.print(f"continuing after {done // batches} of {epochs} epochs")

    def epoch(self, metrics: pd.DataFrame) -> None:
        mean = metrics.mean(numeric_only=True)
        line = f"epoch {int(mean.epoch)}/{self.epochs}  {_scores(mean)}"
        if math.isfinite(mean.examples_per_second):
            line += f"  {mean.examples_per_second:,.0f} examples/s"
        if "stopped" in metrics and metrics.stopped.any():
            line += f"  ({metrics.stopped.sum()} of {len(metrics)} networks have stopped)"
        plan = self.plan
        if plan.several:
            place = plan.place(self.number)
            line += f"  ({place}: {100 * plan.done:.0f} % of the plan, {plan.time_left})"
        console.print(line, soft_wrap=True)


class BarPlan(Plan):
    """A bar of the whole plan, and below it one of every population that trains."""

    def __enter__(self) -> Self:
        self.bars = Progress(
            SpinnerColumn(),
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        self.live = Live(get_renderable=self._lines, console=console, refresh_per_second=10)
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def population(self, number: int) -> BarReporter:
        self.latest = number
        return BarReporter(self, number)

    def _lines(self) -> RenderableType:
        """What stays at the bottom of the terminal."""
        if not self.several:
            return self.bars
        plan = Table.grid(padding=(0, 1))
        share = Text(f"{self.done:4.0%}", "progress.percentage")
        left = Text(self.time_left, "progress.remaining")
        plan.add_row(self.place(self.latest), ProgressBar(1, self.done, width=40), share, left)
        return Group(plan, self.bars)


class BarReporter(PopulationReporter):
    """A bar with epoch, accuracies, throughput and time left."""

    def __init__(self, plan: BarPlan, number: int) -> None:
        super().__init__(plan, number)
        self.live, self.bars = plan.live, plan.bars
        self.task: TaskID | None = None

    def start(self, epochs: int, batches: int, rows: int, done: int) -> None:
        super().start(epochs, batches, rows, done)
        self.rows, self.examples = rows, 0
        self.started = time.perf_counter()
        label = f"{min(done // batches + 1, epochs)}/{epochs}"
        self.task = self.bars.add_task(
            "", total=epochs * batches, completed=done, epoch=label, text="", rate=""
        )
        self.live.start()  # not before: what fetches data writes to the terminal too

    def batch(self, examples: int, count: int = 1) -> None:
        super().batch(examples, count)
        assert self.task is not None
        self.examples += examples * self.rows
        rate = self.examples / (time.perf_counter() - self.started)
        self.bars.update(self.task, advance=count, rate=f"{rate:,.0f} examples/s")

    def epoch(self, metrics: pd.DataFrame) -> None:
        assert self.task is not None
        mean = metrics.mean(numeric_only=True)
        stopped = "stopped" in metrics and (metrics.stopped | metrics.diverged).all()
        following = int(mean.epoch) if stopped else min(int(mean.epoch) + 1, self.epochs)
        self.bars.update(self.task, epoch=f"{following}/{self.epochs}", text=_scores(mean))
        if stopped:
            [task] = [task for task in self.bars.tasks if task.id == self.task]
            self.bars.update(self.task, completed=task.total)

    def finish(self) -> None:
        super().finish()
        if self.plan.several and self.task is not None:
            [task] = [task for task in self.bars.tasks if task.id == self.task]
            line = self.bars.make_tasks_table([task])
            self.bars.remove_task(self.task)
            console.print(line)  # it stays, above the live lines


def shown(costs: Sequence[float], left: Sequence[float], numbered: bool = False) -> Plan:
    """A plan with bars on a terminal, with lines elsewhere."""
    return (BarPlan if console.is_terminal else Plan)(costs, left, numbered)


def show_results(folder: RunFolder, trained: bool) -> None:
    """One row per seed, the mean with its 95 % interval, and where the files are."""
    if not trained:
        console.print(f"This run has {folder.status}: overwrite=true starts it over.")
    print_results(folder.summary())
    console.print(f"Run folder: {folder.path}", soft_wrap=True)


def _scores(mean: pd.Series) -> str:
    """An epoch's accuracies; of regression the normalized squared errors."""
    if "test_nse" in mean:
        return f"NSE: train {significant(mean.train_nse)}  test {significant(mean.test_nse)}"
    return f"train {percent(mean.train_accuracy)} %  test {percent(mean.test_accuracy)} %"
