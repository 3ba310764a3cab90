"""The training loop: the only one.

It trains one population, the rows of one or more jobs side by side, and keeps each job's run
folder up to date.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch

from fabench.dataset.base.items import Data, Split
from fabench.model.layer.network import largest_weight
from fabench.population.examples import Epoch, Examples
from fabench.population.loop import Loop
from fabench.population.metrics import Score, confusion, evaluate, network_metrics
from fabench.population.population import Population, Row
from fabench.population.precision import NumberFormat
from fabench.run.best import BestWeights
from fabench.run.chore import Chore
from fabench.run.config import Config, resolve_device
from fabench.run.environment import describe
from fabench.run.interruption import (
    Interrupted,
    StopSignal,
    something_to_tidy_up,
    stop_signals,
)
from fabench.run.logger.base import Logs, opened
from fabench.run.stopping import EarlyStopping
from fabench.run.store import RunFolder, now


class Reporter(Protocol):
    """Who is told how training goes."""

    def introduce(self, jobs: int, lines: dict[str, str]) -> None:
        """What a population of so many jobs is about to do: see report.plan."""

    def start(self, epochs: int, batches: int, rows: int, done: int) -> None:
        """``rows`` networks train; of ``epochs`` times ``batches``, ``done`` batches are done."""

    def batch(self, examples: int, count: int = 1) -> None:
        """``count`` more batches are done: in all, so many examples for every network."""

    def epoch(self, metrics: pd.DataFrame) -> None:
        """An epoch is done: its rows of metrics.csv."""


DISK = 1e8
"""Bytes a second that a disk is thought to take before it has been tried."""

PLACE = ("epoch", "batches", "seconds")
"""Where a training is: whole epochs, and batches and seconds of the one under way."""


def population_of(
    config: Config, rows: Sequence[Row], device: torch.device, fp32_kernel: str | None = None
) -> Population:
    """The networks of a configuration, as its rows begin with them. ``fp32_kernel``: that of the
    session that they go on from; None: the faster one."""
    t, layers = config.trainer, config.layers()
    largest = t.batch_size * largest_weight(layers)
    return Population(
        layers, config.learning_rule, config.optimizer, config.task, rows,
        NumberFormat(config.precision, device, largest, fp32_kernel), init_of_B=config.init_of_B,
        schedule=config.schedule, parallel=config.parallel, adversarial=t.adversarial,
        steps_an_epoch=config.steps(1), epochs=t.epochs, clip_norm=t.clip_norm,
        gradient_noise=(t.gradient_noise, t.gradient_noise_decay), weights=config.weights(),
    )  # fmt: skip


def data_of(config: Config) -> Data:
    """What a run trains and is tested on; it may have to be fetched."""
    something_to_tidy_up()
    data, t = config.dataset.load(config.general.data_dir), config.trainer
    return data.hold_out(t.evaluate_on == "validation") if t.holds_out else data


def trained(folder: RunFolder) -> Population:
    """A run's networks as its checkpoint has them, with all their weights: those that do not learn
    (features, gates, frozen layers) are drawn again. Raises UserError if there is no checkpoint."""
    saved, config = folder.weights(), folder.config
    rows = [Row(seed, config.scalars()) for seed in config.seeds]
    population = population_of(config, rows, resolve_device(config))
    _put(population, slice(None), folder, saved)
    return population


def _put(population: Population, rows: slice, folder: RunFolder, saved: dict[str, Any]) -> None:
    """A checkpoint's steps and tensors into some rows. UserError where they do not fit."""
    if not population.fits(rows, saved["tensors"]):
        raise folder.unusable("checkpoint.pt", "is another network's")
    population.steps = saved["steps"]
    population.restore(rows, saved["tensors"])


@dataclass(eq=False)
class Member:
    """One of the runs that train as a population: its folder, rows, and metrics by epoch."""

    folder: RunFolder
    rows: slice
    epochs: list[pd.DataFrame]
    logs: Logs


class Training:
    """One population's training, from wherever its checkpoints left it.

    Where it is: ``epoch`` whole epochs (-1: not even measured before training), and of the epoch
    under way ``batches``, their ``score`` and the ``seconds`` they took.
    """

    def __init__(
        self, folders: Sequence[RunFolder], command: str, keep_weights: bool = True
    ) -> None:
        """``folders``: locked jobs that differ only in seeds and scalars, all at one place;
        ``keep_weights``: whether there is a checkpoint when they are finished."""
        self.keep_weights, self.config = keep_weights, folders[0].config
        self.device = resolve_device(self.config)
        data = data_of(self.config)
        self.rows = [Row(s, f.config.scalars()) for f in folders for s in f.config.seeds]
        ends = np.cumsum([len(f.config.seeds) for f in folders]).tolist()
        pairs = zip(folders, [0, *ends], ends, strict=False)
        self.members = [Member(f, slice(a, b), [], Logs(f)) for f, a, b in pairs]  # not ended
        kernel = folders[0].fp32_kernel
        self.population = population_of(self.config, self.rows, self.device, kernel)
        seeds = [row.seed for row in self.rows]
        operand = self.population.operand
        order = self.config.trainer.order
        self.examples = Examples(data, self.config.task, seeds, self.device, operand, order)
        self.manifest = {
            "command": command,
            "environment": describe(self.device),
            "data": data.source,
            "parameters": self.population.n_parameters(),
            "population": len(self.rows),
            "compiled_update": bool(self.population.descent and self.population.descent.compiled),
            "fp32_kernel": self.population.operand.fp32_kernel,
        }
        self.epoch, self.batches, self.seconds = -1, 0, 0.0
        self.loop = Loop(self.population, self.examples, self.config.trainer.batch_size)
        self.score = self.loop.score
        self.diverged = np.zeros(len(self.rows), dtype=bool)
        t = self.config.trainer
        self.stopping = EarlyStopping(t, self.population) if t.early_stopping else None
        self.best = BestWeights(self.config, self.population) if t.keep_best else None
        self.keepers = [keeper for keeper in (self.stopping, self.best) if keeper]
        self.write_metrics = Chore(self._write_metrics)
        self.save = Chore(self._save, self.population.n_bytes() / DISK)
        self._following: tuple[int, Epoch] | None = None
        self._restore()

    def run(self, reporter: Reporter) -> None:
        """Train to the last epoch, or until every row has diverged. Raises Interrupted."""
        t = self.config.trainer
        logs = [(member.logs, member.epochs) for member in self.members]
        with stop_signals() as signals, opened(logs):  # before a folder says that it is running
            session = {"epoch": max(0, self.epoch), "started": now()}
            for folder in (member.folder for member in self.members):
                folder.write_config()
                sessions = [*folder.manifest().get("sessions", []), session]
                folder.update_manifest(status="running", sessions=sessions, **self.manifest)
            if self.epoch < 0:
                before = self._draw("train", 0).first(len(self._draw("test", 0)))
                self._finish_epoch(before, evaluate(self.population, self.examples, before))
                self.write_metrics()
            batches = ceil(len(self._draw("train", 0)) / t.batch_size)
            done = self.epoch * batches + self.batches
            reporter.start(t.epochs, batches, len(self.rows), done)
            self._end_early(reporter)
            while not self._ended:
                epoch = self._draw("train", self.epoch + 1)
                self._train(epoch, signals, reporter)
                self._finish_epoch(epoch, self.score)
                self._keep()
                if self._is_due(t.metrics_every):
                    reporter.epoch(pd.concat([member.epochs[-1] for member in self.members]))
                self._end_early(reporter)
            self._end(self.members)
        if signals.received is not None:  # too late to stop this, in time to stop what follows
            raise Interrupted("Stopped; this run is finished.", signals.received)

    def _end_early(self, reporter: Reporter) -> None:
        """End the runs of which every row has diverged, or early stopping has it."""
        if self._ended:
            return
        ending = []
        for member in self.members:
            if self.stopping:
                last = self.stopping.last_epoch(member.epochs[-1])
            else:
                last = member.epochs[-1] if self.diverged[member.rows].all() else None
            if last is None:
                continue
            if last is not member.epochs[-1]:
                member.epochs.append(last)
                member.logs.add(last)
            member.folder.write_metrics(pd.concat(member.epochs, ignore_index=True))
            if self.keep_weights:
                self._write_checkpoint(member, int(last.epoch.iloc[0]))
            ending.append(member)
        self._end(ending)
        self.members = [member for member in self.members if member not in ending]
        if ending and not self.members:
            reporter.epoch(pd.concat([member.epochs[-1] for member in ending]))

    def _end(self, members: Sequence[Member]) -> None:
        """Of runs whose files are up to date: the summary, and how they have ended."""
        counts = self._confusion() if members else None
        for folder, rows in ((member.folder, member.rows) for member in members):
            folder.write_summary(None if counts is None else counts[rows])
            status = {"status": "finished", **folder.metrics_seal()}
            if self.diverged[rows].all():
                smaller = "optimizer.lr" if self.config.optimizer else "model.weight_scale"
                reason = f"every seed diverged (the loss is not finite): try a smaller {smaller}."
                status |= {"status": "failed", "reason": reason}
            self._close(folder, **status)
            if not self.keep_weights:
                folder.remove_checkpoint()

    def _close(self, folder: RunFolder, **status: Any) -> None:
        """Note how and when the session that began last ended."""
        *earlier, last = folder.manifest()["sessions"]
        folder.update_manifest(**status, sessions=[*earlier, {**last, "stopped": now()}])

    def _draw(self, split: Split, epoch: int) -> Epoch:
        t = self.config.trainer
        if split != "train":
            return self.examples.epoch(split, epoch, t.test_examples)
        number = 1 if t.same_examples else epoch
        if self._following and self._following[0] == number:
            return self._following[1]
        drawn = self.examples.epoch(split, number, t.train_examples)
        if t.same_examples:
            self._following = number, drawn
        return drawn

    def _train(self, epoch: Epoch, signals: StopSignal, reporter: Reporter) -> None:
        """The rest of an epoch's batches."""
        t = self.config.trainer
        started = time.perf_counter() - self.seconds
        for n in self.loop.run(epoch, self.batches, lambda: signals.received is None):
            self.batches += 1
            reporter.batch(n)
        if self.device.type == "cuda":
            if self.epoch + 1 < t.epochs and not t.same_examples:  # while the device still trains
                self._following = self.epoch + 2, self._draw("train", self.epoch + 2)
            torch.cuda.synchronize()
        if self.device.type == "mps":
            torch.mps.synchronize()
        self.seconds = time.perf_counter() - started
        if signals.received is not None:
            self.write_metrics()
            self.save()
            for member in self.members:
                self._close(member.folder, status="interrupted")
            place = f"in epoch {self.epoch + 1} of {t.epochs}"
            raise Interrupted(
                f"Stopped {place}; everything is saved and the same command continues.",
                signals.received,
            )

    @property
    def _ended(self) -> bool:
        """Whether there is nothing left to train."""
        rows = [self.diverged[member.rows] for member in self.members]
        return self.epoch == self.config.trainer.epochs or all(row.all() for row in rows)

    def _is_due(self, every: int) -> bool:
        """Whether what happens every so many epochs, and after the last, happens now."""
        return self.epoch % every == 0 or self._ended

    def _keep(self) -> None:
        """Bring the files up to date where that is due: what a checkpoint has seen is in
        metrics.csv."""
        saves = self._is_due(self.config.trainer.checkpoint_every) and self.save.is_due
        if saves or self.write_metrics.is_due or self._ended:
            self.write_metrics()
        if self.keep_weights if self._ended else saves:
            self.save()

    def _finish_epoch(self, epoch: Epoch, train: Score) -> None:
        """Measure if that is due, and stand before the next epoch's first batch."""
        self.epoch += 1
        if self._is_due(self.config.trainer.metrics_every):
            self._measure(epoch, train)
        if self.stopping:
            self.stopping.put_back()
        self.batches, self.seconds = 0, 0.0
        self.score.reset()

    def _measure(self, epoch: Epoch, train: Score) -> None:
        """One more epoch in metrics.csv."""
        values = train.metrics("train", self._variance(epoch))
        splits: tuple[Split, ...] = ("test", "validation") if self.stopping else ("test",)
        for split in splits:
            drawn = self._draw(split, self.epoch if split == "test" else 0)  # one validation set
            score = evaluate(self.population, self.examples, drawn, self.config.trainer.top_k)
            values |= score.metrics(split, self._variance(drawn))
        losses = [values[f"{split}_loss"] for split in ("train", *splits)]
        finite = torch.stack(losses).isfinite().all(0)
        values |= network_metrics(self.population, self.examples, epoch)
        metrics = {name: v.numpy() for name, v in values.items()}
        seeds = [row.seed for row in self.rows]
        table = pd.DataFrame({"seed": seeds, "epoch": self.epoch, **metrics})
        exploded = ~finite.numpy() & (self.epoch > 0)
        self.diverged |= exploded & ~self.stopping.held if self.stopping else exploded
        table["diverged"] = (~finite.numpy() | self.diverged).astype(int)
        trained = self.batches > 0
        table["seconds"] = self.seconds
        rate = len(self.rows) * train.examples / self.seconds if trained else np.nan
        table["examples_per_second"] = rate
        if self.stopping:
            table = self.stopping.measure(table)
        if self.best:
            self.best.measure(table)
        for member in self.members:
            member.epochs.append(table[member.rows])
            member.logs.add(table[member.rows])

    def _variance(self, epoch: Epoch) -> torch.Tensor | None:
        """The variance [R] of an epoch's targets, in regression."""
        return self.config.task.variance(epoch.y[self.examples.stream_of_row])

    def _confusion(self) -> np.ndarray | None:
        """Test examples [R, class, answer], of a classifier: those of the epoch that a row ends
        with."""
        measured = self.stopping.measured if self.stopping else {}
        epochs = [measured.get(row, self.epoch) for row in range(len(self.rows))]
        drawn = {}
        for epoch in set(epochs):
            counts = confusion(self.population, self.examples, self._draw("test", epoch))
            if counts is None:
                return None
            drawn[epoch] = counts.numpy()
        return np.stack([drawn[epoch][row] for row, epoch in enumerate(epochs)])

    # -- Saving ------------------------------------------------------------------------------

    def _write_metrics(self) -> None:
        for member in self.members:
            member.folder.write_metrics(pd.concat(member.epochs, ignore_index=True))

    def _save(self) -> None:
        for member in self.members:
            self._write_checkpoint(member, self.epoch)

    def _write_checkpoint(self, member: Member, epoch: int) -> None:
        """``epoch``: this one, or the next, which has passed for a run without a step."""
        rows = member.rows
        tensors = self.population.snapshot(rows)
        for keeper in self.keepers:
            tensors |= keeper.kept.saved(rows)
        member.folder.write_checkpoint(
            {
                **{name: getattr(self, name) for name in PLACE},
                "epoch": epoch,
                "steps": self.population.steps + self.config.steps(epoch - self.epoch),
                "examples": self.score.examples,
                "loss": self.score.loss[rows].cpu(),
                "correct": self.score.correct[rows].cpu(),
                "tensors": tensors,
            }
        )

    def _restore(self) -> None:
        for member in self.members:
            folder, rows = member.folder, member.rows
            saved = folder.checkpoint()
            if saved is None:
                return
            self.epoch, self.batches, self.seconds = (saved[k] for k in PLACE)
            self.score.examples = saved["examples"]
            self.score.loss[rows] = saved["loss"].to(self.device)
            self.score.correct[rows] = saved["correct"].to(self.device)
            _put(self.population, rows, folder, saved)
            metrics = folder.metrics()
            metrics = metrics[metrics.epoch <= self.epoch]
            numbers = range(len(self.rows))[rows]
            member.epochs[:] = [
                of_epoch.set_index(pd.Index(numbers)) for _, of_epoch in metrics.groupby("epoch")
            ]
            diverged = metrics[metrics.epoch > 0].groupby("seed", sort=False).diverged.max()
            self.diverged[rows] = diverged.reindex(folder.config.seeds, fill_value=0) == 1
            for keeper in self.keepers:
                keeper.restore(rows, member.epochs, saved["tensors"])
