"""The weights and feedback of R networks as operands of matrix products, in memory used again."""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fabench.network import Layer, Weights
from fabench.precision import Operands


class Scratch:
    """Memory for what a step makes of a weight's size: new memory at every step costs a CPU as much
    in page faults as arithmetic. One set a thread serves all rows."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def __call__(self, name: str, like: Tensor, dtype: torch.dtype) -> Tensor:
        """Memory of this shape, until the next call."""
        buffers, key = vars(self._of_thread), f"{name} {tuple(like.shape)}"
        if key not in buffers:
            buffers[key] = torch.empty_like(like, dtype=dtype)
        return buffers[key]


class NetworkOperands:
    """Some rows' weights and feedback as operands, each until the next call."""

    def __init__(
        self,
        layers: Sequence[Layer],
        weights: Weights,
        B: list[Tensor],
        operand: Operands,
        scratch: Scratch,
    ) -> None:
        self._weights, self._B, self._operand, self._scratch = weights, B, operand, scratch
        # of all rows, what stays as it is: gates, and layers that do not learn
        matrices = {f"G{i}": G for i, G in enumerate(weights.G)}
        for i, layer in enumerate(layers):
            if not layer.trained:
                matrices |= {f"W{i}": weights.W[i], f"b{i}": weights.b[i]}
        self._fixed = {name: operand(m) for name, m in matrices.items() if m is not None}

    def weights(self, rows: slice) -> Weights:
        """W, b and G."""
        w = self._weights
        return Weights(*(self._all(name, getattr(w, name), rows) for name in ("W", "b", "G")))

    def feedback(self, rows: slice) -> list[Tensor]:
        """B."""
        return self._all("B", self._B, rows)

    def _all(self, name: str, matrices: Sequence[Tensor | None], rows: slice) -> list[Any]:
        return [
            None if m is None else self._one(f"{name}{i}", m, rows) for i, m in enumerate(matrices)
        ]

    def _one(self, name: str, m: Tensor, rows: slice) -> Tensor:
        if name in self._fixed:
            return self._fixed[name][rows]
        own = m[rows]
        if not self._operand.native:
            return self._operand(own)
        return self._operand(own, self._scratch(f"operand {name}", own, self._operand.dtype))
