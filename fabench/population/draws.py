"""What is drawn for R networks: parameters' first values, noise, dropout's masks.

Axes: R rows, B batch. Every number is a function of a row's seed, the
name of what is drawn and, in training, the step: see fabench.randomness.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from fabench.model.layer.network import Layer
from fabench.model.layer.parameter import Parameter
from fabench.randomness import generator, streams


class NetworkDraws:
    """Draws for networks of these layers, a seed for each, on a device."""

    def __init__(self, layers: Sequence[Layer], seeds: Sequence[int], device: torch.device) -> None:
        self.layers, self.seeds, self.device = layers, seeds, device
        self._distinct, self._stream = streams(seeds)

    def _stack(self, matrices: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(matrices)).to(self.device)

    def parameter(self, p: Parameter, scale: float | Tensor) -> Tensor:
        """A parameter's first values [R, *shape], drawn once for every distinct seed; ``scale``: a
        factor, or one for each row [R, 1, 1]."""
        drawn = self._stack([p.draw(generator(seed, p.stream)) for seed in self._distinct])
        return drawn[self._stream] * scale

    def drawn(
        self, rows: slice, stream: str, draw: Callable[[Generator], NDArray[Any]], number: int
    ) -> Tensor:
        """What ``draw`` makes of every row's generator in a stream's epoch or step [rows, ...]."""
        return self._stack([draw(generator(seed, stream, number)) for seed in self.seeds[rows]])

    def noise(self, rows: slice, name: str, shape: tuple[int, ...], step: int) -> Tensor:
        """Standard normal noise [rows, *shape] in a step."""
        return self.drawn(rows, name, lambda rng: rng.standard_normal(shape, np.float32), step)

    def masks(self, rows: slice, n_examples: int, step: int) -> list[Tensor | None]:
        """Dropout's factors of every layer's inputs [rows, B, n_inputs] in a step."""
        masks: list[Tensor | None] = []
        for index, layer in enumerate(self.layers):
            p, shape, mask = layer.input_dropout, (n_examples, layer.n_inputs), None
            if p:
                rngs = [generator(seed, f"dropout {index}", step) for seed in self.seeds[rows]]
                kept = self._stack([rng.random(shape, dtype=np.float32) >= p for rng in rngs])
                mask = kept / (1 - p)
            masks.append(mask)
        return masks
