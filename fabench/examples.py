"""Examples on the device: an epoch is an index table, a batch is gathered when it is needed.

Axes: R runs, S data streams (distinct seeds; runs that share a seed share the gather), N examples,
B batch, k images an example, P pixels an image, I = k P inputs, C outputs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fabench.dataset.base import Images
from fabench.population import Operands
from fabench.randomness import generator
from fabench.task.base import Task

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Epoch:
    """One epoch's examples, not yet gathered: table [S, N, k] of image indices, y [S, N, C]."""

    split: Split
    table: Tensor
    y: Tensor

    def __len__(self) -> int:
        return self.table.shape[1]

    def first(self, n: int) -> "Epoch":
        """The epoch's first n examples."""
        return Epoch(self.split, self.table[:, :n], self.y[:, :n])


class Examples:
    """Images (uint8, on the device once) and the task that makes examples of them."""

    def __init__(
        self,
        images: Images,
        task: Task,
        seeds: Sequence[int],
        device: torch.device,
        operand: Operands,
    ) -> None:
        """``seeds``: one per run."""
        self.task, self.device, self.operand = task, device, operand
        self.images: dict[Split, Tensor] = {
            "train": images.train_images.flatten(1).to(device),
            "test": images.test_images.flatten(1).to(device),
        }
        self.labels: dict[Split, Tensor] = {
            "train": images.train_labels.to(device),
            "test": images.test_labels.to(device),
        }
        self.mean, self.std = images.pixel_mean, images.pixel_std
        self.streams = list(dict.fromkeys(seeds))
        self.shared = len(self.streams) < len(seeds)
        self.stream_of_run = torch.tensor([self.streams.index(s) for s in seeds], device=device)

    def epoch(self, split: Split, epoch: int, n_examples: int | None = None) -> Epoch:
        """The examples of epoch number ``epoch``, the first ``n_examples`` of them (None: all)."""
        n_images = len(self.labels[split])
        tables = [self.task.table(generator(s, split, epoch), n_images) for s in self.streams]
        table = torch.from_numpy(np.stack(tables)[:, :n_examples]).to(self.device)
        return Epoch(split, table, self.task.targets(self.labels[split][table]))

    def batches(self, epoch: Epoch, size: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """x [R, B, I], an operand, and y [R, B, C] of the batches from number ``start`` on.

        The last batch is short where ``size`` does not divide N. x lives in a buffer that the next
        batch overwrites.
        """
        n_inputs = epoch.table.shape[2] * self.images[epoch.split].shape[1]
        buffer = torch.empty(len(self.streams), min(size, len(epoch)), n_inputs, device=self.device)
        for begin in range(start * size, len(epoch), size):
            index = epoch.table[:, begin : begin + size]
            x = buffer[:, : index.shape[1]]
            pixels = self.images[epoch.split].index_select(0, index.reshape(-1)).view(x.shape)
            torch.sub(pixels, self.mean, out=x).div_(self.std)
            y = epoch.y[:, begin : begin + size]
            if self.shared:
                x, y = x[self.stream_of_run], y[self.stream_of_run]
            yield self.operand(x), y
