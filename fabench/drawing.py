"""What is drawn for R networks: initial weights, feedback matrices, noise, dropout's masks.

Axes: R runs (rows), B batch, I fan-in, O fan-out. Every number is a function of a row's seed, the
name of what is drawn and, in training, the step: see fabench.randomness.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fabench.config import InitOfB
from fabench.initialization import BIAS_INITS, FEEDBACK_INITS, WEIGHT_INITS, Init
from fabench.network import Layer, Weights
from fabench.randomness import generator, streams


class NetworkDraws:
    """Draws for networks of these layers, a seed for each, on a device."""

    def __init__(self, layers: Sequence[Layer], seeds: Sequence[int], device: torch.device) -> None:
        self.layers, self.seeds, self.device = layers, seeds, device
        self._distinct, self._stream = streams(seeds)

    def _stack(self, matrices: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(matrices)).to(self.device)

    def _matrix(self, name: str, init: Init, i: int, o: int, scale: float = 1.0) -> Tensor:
        """A matrix [R, i, o] (a bias: [R, 1, o]), drawn once for every distinct seed."""
        matrices = [init(generator(seed, name), i, o) for seed in self._distinct]
        return (self._stack(matrices) * scale)[self._stream]

    def weights(self) -> Weights:
        """Initial weights W [R, I, O], biases b [R, 1, O], and fixed gates' weights G [R, I, O]."""
        drawn = Weights([], [], [])
        for index, layer in enumerate(self.layers):
            i, o, scale = layer.fan_in, layer.fan_out, layer.weight_scale
            init, bias_init = WEIGHT_INITS[layer.weight_init], layer.bias_init
            drawn.W.append(self._matrix(f"weights {index}", init, i, o, scale))
            drawn.b.append(
                None
                if bias_init is None
                else self._matrix(f"biases {index}", BIAS_INITS[bias_init], i, o)
            )
            drawn.G.append(
                None if layer.gate is None else self._matrix(f"gates {index}", init, i, o, scale)
            )
        return drawn

    def feedback(self, init: InitOfB, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Feedback matrices [R, *shape] of a distribution, each drawn as the weights in its place
        are and transposed."""
        draw = FEEDBACK_INITS[init.name]
        return [
            self._matrix(f"feedback {index}", draw, to, source, init.scale).mT.contiguous()
            for index, (source, to) in enumerate(shapes)
        ]

    def noise(self, rows: slice, name: str, shape: tuple[int, ...], step: int) -> Tensor:
        """Standard normal noise [rows, *shape] in a step."""
        rngs = [generator(seed, name, step) for seed in self.seeds[rows]]
        return self._stack([rng.standard_normal(shape, dtype=np.float32) for rng in rngs])

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
