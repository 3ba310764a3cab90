"""Examples on the device: an epoch is an index table, a batch is gathered when it is needed.

Axes: R runs, S data streams (distinct seeds; runs that share a seed share the gather), N examples,
B batch, M items (images, vectors), k items an example, P values an item, I = k P inputs, C outputs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fabench.dataset.base import Data, Pool, Split
from fabench.population import streams
from fabench.precision import Operands
from fabench.randomness import generator
from fabench.task.base import Task


@dataclass(frozen=True)
class Epoch:
    """One epoch's examples, not yet gathered: table [S, N, k] of items of the pool, y [S, N, C]."""

    pool: Pool
    table: Tensor
    y: Tensor

    def __len__(self) -> int:
        return self.table.shape[1]

    def first(self, n: int) -> "Epoch":
        """The epoch's first n examples."""
        return replace(self, table=self.table[:, :n], y=self.y[:, :n])


class Buffers:
    """Memory for the inputs of a few batches of the same items, on the items' device."""

    def __init__(self, pool: Pool, index: Tensor, operand: Operands, kept: int = 1) -> None:
        """``index``: an index table as large as the largest batch's; see ``gather``."""
        self.pool, self.operand = pool, operand
        n_streams, n_examples, k = index.shape
        shape, device = (n_streams, n_examples, k * pool.values.shape[1]), pool.values.device
        self.gathered = torch.empty(shape, dtype=pool.values.dtype, device=device)
        self.operands = torch.empty((kept, *shape), dtype=operand.dtype, device=device)
        self.standardized = (  # what is rounded from it need not be kept
            torch.empty(shape, device=device).expand_as(self.operands)
            if operand.native
            else self.operands
        )

    def gather(self, index: Tensor, here: int = 0) -> Tensor:
        """x [S, B, I], an operand, of the items index [S, B, k], in batch ``here``'s memory."""
        n_streams, n_values = len(index), index.numel() * self.pool.values.shape[1]
        values, x, out = (
            t.view(-1)[:n_values].view(n_streams, index.shape[1], -1)
            for t in (self.gathered, self.standardized[here], self.operands[here])
        )
        rows = values.view(-1, self.pool.values.shape[1])
        torch.index_select(self.pool.values, 0, index.reshape(-1), out=rows)
        x.copy_(values).sub_(self.pool.mean).div_(self.pool.std)
        return self.operand(x, out)


class Examples:
    """Data (what is fixed of it: on the device once) and the task that makes examples of it."""

    def __init__(
        self,
        data: Data,
        task: Task,
        seeds: Sequence[int],
        device: torch.device,
        operand: Operands,
    ) -> None:
        """``seeds``: one per run."""
        self.data, self.task, self.device, self.operand = data, task, device, operand
        self.seeds, stream_of_run = streams(seeds)
        self.stream_of_run = torch.tensor(stream_of_run, device=device)
        self.fixed: dict[Split, Pool] = {}

    def _pool(self, split: Split, epoch: int) -> Pool:
        if split in self.fixed:
            return self.fixed[split]
        pool = self.data.pool(split, epoch, self.seeds).to(self.device)
        if self.data.fixed:
            self.fixed[split] = pool
        return pool

    def epoch(self, split: Split, epoch: int, n_examples: int | None = None) -> Epoch:
        """The examples of epoch number ``epoch``, the first ``n_examples`` of them (None: all)."""
        pool = self._pool(split, epoch)
        n_items = pool.per_stream or len(pool.labels)
        tables = [self.task.table(generator(s, split, epoch), n_items) for s in self.seeds]
        table = torch.from_numpy(np.stack(tables)[:, :n_examples]).to(self.device)
        stream = torch.arange(len(self.seeds), device=self.device).view(-1, 1, 1)
        y = self.task.targets(self._labels(pool, split)[stream, table])
        return Epoch(pool, table + n_items * stream if pool.per_stream else table, y)

    def _labels(self, pool: Pool, split: Split) -> Tensor:
        """The labels [S, M] (targets [S, M, C]) of every stream's items, as the task sees them."""
        own = pool.labels.unflatten(0, (-1, pool.per_stream or len(pool.labels)))
        own = own.expand(len(self.seeds), *own.shape[1:])
        streams = [generator(seed, f"labels {split}") for seed in self.seeds]
        return torch.stack([self.task.relabel(*pair) for pair in zip(own, streams, strict=True)])

    def batches(
        self, epoch: Epoch, size: int, start: int = 0, kept: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """x [S, B, I], an operand, and y [R, B, C] of the batches from number ``start`` on.

        The last batch is short where ``size`` does not divide N. x lives in a buffer that the
        ``kept``-th batch after it overwrites.
        """
        buffers = Buffers(epoch.pool, epoch.table[:, :size], self.operand, kept)
        y = epoch.y[self.stream_of_run]
        for begin in range(start * size, len(epoch), size):
            here = begin // size % kept
            x = buffers.gather(epoch.table[:, begin : begin + size], here)
            yield x, y[:, begin : begin + size]


class Feed:
    """The whole batches of one epoch after the other, each by the same operations on the same
    memory, as a CUDA graph wants them: where it stands is a tensor that every batch moves on."""

    def __init__(self, examples: Examples, epoch: Epoch, size: int) -> None:
        """``epoch``: one of those to come, which are all of its shape."""
        self.examples, self.size, self.pool = examples, size, epoch.pool
        if not examples.data.fixed:
            self.pool = replace(epoch.pool, values=epoch.pool.values.clone())
        self.table, self.y = epoch.table.clone(), epoch.y.clone()
        self.buffers = Buffers(self.pool, self.table[:, :size], examples.operand)
        self.at = torch.arange(size, device=examples.device)  # of the next batch's examples

    def load(self, epoch: Epoch, start: int) -> None:
        """Stand before batch number ``start`` of ``epoch``."""
        self.table.copy_(epoch.table)
        self.y.copy_(epoch.y)
        if not self.examples.data.fixed:
            self.pool.values.copy_(epoch.pool.values)
        torch.arange(start * self.size, (start + 1) * self.size, out=self.at)

    def take(self) -> tuple[Tensor, Tensor]:
        """x [S, B, I], an operand, and y [R, B, C] of the next batch; the next call overwrites
        x."""
        x = self.buffers.gather(self.table.index_select(1, self.at))
        y = self.y.index_select(1, self.at)[self.examples.stream_of_run]
        self.at += self.size
        return x, y
