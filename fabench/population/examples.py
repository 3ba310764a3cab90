"""Examples on the device: an epoch is an index table, a batch is gathered when it is needed.

Items stay as they are stored (pixels are bytes) until they are gathered; a GPU, which has the
memory and for which every operation of a step counts, keeps them as operands.

Axes: R rows, S data streams (distinct seeds; rows that share a seed share the gather), N examples,
B batch, M items (images, vectors), k items an example, P values an item, I = k P inputs, C outputs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fabench.dataset.base.items import Data, Pool, Split
from fabench.population.augmentation import augmented, draw_views
from fabench.population.order import SHUFFLED, Order
from fabench.population.precision import NumberFormat
from fabench.randomness import generator, streams
from fabench.task.base import Task


@dataclass(frozen=True)
class Epoch:
    """One epoch's examples, not yet gathered: table [S, N, k] of items of the pool, y [S, N, C],
    and, where items vary, their views [S, N, k]."""

    pool: Pool
    table: Tensor
    y: Tensor
    views: Tensor | None = None

    def __len__(self) -> int:
        return self.table.shape[1]

    def first(self, n: int) -> "Epoch":
        """The epoch's first n examples."""
        return self.part(slice(n))

    def part(self, places: slice) -> "Epoch":
        """Some of the epoch's examples."""
        views = None if self.views is None else self.views[:, places]
        return replace(self, table=self.table[:, places], y=self.y[:, places], views=views)


def standardized(pool: Pool, operand: NumberFormat) -> Pool:
    """The pool with inputs, as operands, for its values."""
    values, black = (
        operand((pixels - pool.mean) / pool.std)
        for pixels in (pool.values, torch.zeros_like(pool.values[0]))
    )
    return replace(pool, values=values, black=black, mean=0.0, std=1.0)


class Buffers:
    """Memory for the inputs of a few batches of the same items, on the items' device."""

    def __init__(self, pool: Pool, index: Tensor, operand: NumberFormat, kept: int = 1) -> None:
        """``index``: an index table as large as the largest batch's; see ``gather``."""
        self.pool, self.operand = pool, operand
        n_streams, n_examples, k = index.shape
        shape, device = (n_streams, n_examples, k * pool.values.shape[1]), pool.values.device
        self.operands = torch.empty((kept, *shape), dtype=operand.dtype, device=device)
        by_channel = isinstance(pool.mean, Tensor)
        unscaled = not by_channel and pool.mean == 0 and pool.std == 1
        rounded = operand.rounds and not operand.native
        self.are_operands = unscaled and pool.values.dtype == operand.dtype and not rounded
        if not self.are_operands:
            self.gathered = torch.empty(shape, dtype=pool.values.dtype, device=device)
            self.standardized = (  # what is rounded from it need not be kept
                torch.empty(shape, device=device).expand_as(self.operands)
                if operand.native
                else self.operands
            )

    def gather(self, index: Tensor, views: Tensor | None = None, here: int = 0) -> Tensor:
        """x [S, B, I], an operand, of the items index [S, B, k] in their views [S, B, k] (None: as
        they are), in batch ``here``'s memory."""
        out = self._part(self.operands[here], index)
        if self.are_operands:
            self._gather(index, views, out)
            return out
        values, x = self._part(self.gathered, index), self._part(self.standardized[here], index)
        self._gather(index, views, values)
        x.copy_(values)
        self._items(x).sub_(self.pool.mean).div_(self.pool.std)
        return self.operand(x, out)

    def _part(self, memory: Tensor, index: Tensor) -> Tensor:
        """As much of some memory as a batch takes, [S, B, I]."""
        n_streams, n_examples, k = index.shape
        n_inputs = k * self.pool.values.shape[1]
        values = memory.view(-1)[: n_streams * n_examples * n_inputs]
        return values.view(n_streams, n_examples, n_inputs)

    def _items(self, batch: Tensor) -> Tensor:
        """A batch as its items, [n, P]."""
        return batch.view(-1, self.pool.values.shape[1])

    def _gather(self, index: Tensor, views: Tensor | None, out: Tensor) -> None:
        items, pool = self._items(out), self.pool
        torch.index_select(pool.values, 0, index.reshape(-1), out=items)
        if views is not None:
            assert pool.augmentation
            black = torch.zeros_like(items[0]) if pool.black is None else pool.black
            items.copy_(augmented(items, views.reshape(-1), pool.augmentation, black))


class Examples:
    """Data (what is fixed of it: on the device once) and the task that makes examples of it."""

    def __init__(
        self,
        data: Data,
        task: Task,
        seeds: Sequence[int],
        device: torch.device,
        operand: NumberFormat,
        order: Order = SHUFFLED,
    ) -> None:
        """``seeds``: one a row; ``order``: of training items."""
        self.data, self.task, self.device, self.operand = data, task, device, operand
        self.order = order
        self.seeds, stream_of_row = streams(seeds)
        self.stream_of_row = torch.tensor(stream_of_row, device=device)
        self.one_each = stream_of_row == list(range(len(self.seeds)))
        self.fixed: dict[Split, Pool] = {}

    def _pool(self, split: Split, epoch: int) -> Pool:
        if split in self.fixed:
            return self.fixed[split]
        pool = self.data.pool(split, epoch, self.seeds).to(self.device)
        if self.device.type == "cuda":
            pool = standardized(pool, self.operand)
        if self.data.fixed:
            self.fixed[split] = pool
        return pool

    def epoch(self, split: Split, epoch: int, n_examples: int | None = None) -> Epoch:
        """The examples of epoch number ``epoch``, the first ``n_examples`` of them (None: all)."""
        pool = self._pool(split, epoch)
        n_items = pool.per_stream or len(pool.labels)
        tables = [self._table(pool, s, split, epoch) for s in range(len(self.seeds))]
        table = torch.from_numpy(np.stack(tables)[:, :n_examples]).to(self.device)
        stream = torch.arange(len(self.seeds), device=self.device).view(-1, 1, 1)
        y = self.task.targets(self._labels(pool, split)[stream, table])
        views = None
        if pool.augmentation:
            shape = tables[0].shape
            own = [draw_views(pool.augmentation, s, epoch, shape) for s in self.seeds]
            views = torch.from_numpy(np.stack(own)[:, :n_examples]).to(self.device)
        return Epoch(pool, table + n_items * stream if pool.per_stream else table, y, views)

    def _table(self, pool: Pool, stream: int, split: Split, epoch: int) -> NDArray[np.int64]:
        """One stream's examples [N, k]: indices of its items."""
        seed, n_items = self.seeds[stream], pool.per_stream or len(pool.labels)
        if split == "train":
            own = slice(stream * n_items, (stream + 1) * n_items)
            difficulties = {by: d[own] for by, d in pool.difficulties.items()}
            items = self.order.items(seed, epoch, n_items, difficulties)
            if items is not None:
                return items[:, None]
        return self.task.table(generator(seed, split, epoch), n_items)

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
        y = epoch.y[self.stream_of_row]
        for begin in range(start * size, len(epoch), size):
            batch = slice(begin, begin + size)
            part = epoch.part(batch)
            x = buffers.gather(part.table, part.views, here=begin // size % kept)
            yield x, y[:, batch]


class Feed:
    """The whole batches of one epoch after the other, each by the same operations on the same
    memory, as a CUDA graph wants them: where it stands is a tensor that every batch moves on.

    Tables of an epoch lie batch by batch, T of them, so that a batch is one block.
    """

    def __init__(self, examples: Examples, epoch: Epoch, size: int) -> None:
        """``epoch``: one of those to come, which are all of its shape."""
        self.examples, self.size, self.pool = examples, size, epoch.pool
        if not examples.data.fixed:
            self.pool = replace(epoch.pool, values=epoch.pool.values.clone())
        self.table, self.y = (
            self._batches(t).clone(memory_format=torch.contiguous_format)
            for t in (epoch.table, epoch.y)
        )
        self.views = None if epoch.views is None else self._batches(epoch.views).contiguous()
        self.buffers = Buffers(self.pool, self.table[0], examples.operand)
        self.at = torch.zeros(1, dtype=torch.long, device=examples.device)  # the batch's number
        n_batches, _, *shape = self.y.shape
        n_rows = len(examples.stream_of_row)
        self.outputs = torch.empty((n_batches, n_rows, *shape), device=examples.device)

    def _batches(self, table: Tensor) -> Tensor:
        """The whole batches [T, S, B, ...] of a table [S, N, ...]: a view."""
        whole = table.shape[1] // self.size * self.size
        return table[:, :whole].unflatten(1, (-1, self.size)).transpose(0, 1)

    def load(self, epoch: Epoch, start: int) -> None:
        """Stand at batch number ``start`` of ``epoch``."""
        self.table.copy_(self._batches(epoch.table))
        self.y.copy_(self._batches(epoch.y))
        if self.views is not None and epoch.views is not None:
            self.views.copy_(self._batches(epoch.views))
        if not self.examples.data.fixed:
            self.pool.values.copy_(epoch.pool.values)
        self.at.fill_(start)

    def take(self) -> tuple[Tensor, Tensor]:
        """x [S, B, I], an operand, and y [R, B, C] of the batch; the next call overwrites x."""
        views = None if self.views is None else self.views.index_select(0, self.at)[0]
        x = self.buffers.gather(self.table.index_select(0, self.at)[0], views)
        y = self.y.index_select(0, self.at)[0]
        return x, y if self.examples.one_each else y[self.examples.stream_of_row]

    def keep(self, output: Tensor) -> None:
        """Put the batch's output [R, B, C] into the epoch's, ``outputs`` [T, R, B, C], and go on to
        the next."""
        self.outputs.index_copy_(0, self.at, output[None])
        self.at += 1

    def results(self, batches: slice, most: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Outputs and y [R, n, C] of some batches, about ``most`` examples at a time."""
        each = max(1, most // self.size)
        parts = (table[batches].split(each) for table in (self.outputs, self.y))
        for tables in zip(*parts, strict=True):
            output, y = (table.transpose(0, 1).flatten(1, 2) for table in tables)
            yield output, y[self.examples.stream_of_row]
