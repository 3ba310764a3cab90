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
        pool, n_streams = epoch.pool, len(self.seeds)
        n_inputs = epoch.table.shape[2] * pool.values.shape[1]
        shape = (n_streams, min(size, len(epoch)), n_inputs)
        gathered = torch.empty(shape, dtype=pool.values.dtype, device=self.device)
        operands = torch.empty((kept, *shape), dtype=self.operand.dtype, device=self.device)
        standardized = (  # what is rounded from it need not be kept
            torch.empty(shape, device=self.device).expand_as(operands)
            if self.operand.native
            else operands
        )
        y = epoch.y[self.stream_of_run]
        for begin in range(start * size, len(epoch), size):
            index = epoch.table[:, begin : begin + size]
            here = begin // size % kept
            values, x, out = (
                t.view(-1)[: index.numel() * pool.values.shape[1]].view(n_streams, -1, n_inputs)
                for t in (gathered, standardized[here], operands[here])
            )
            rows = values.view(-1, pool.values.shape[1])
            torch.index_select(pool.values, 0, index.reshape(-1), out=rows)
            x.copy_(values).sub_(pool.mean).div_(pool.std)
            yield self.operand(x, out), y[:, begin : begin + size]
