"""A population: networks of one architecture that train side by side.

Axes: R runs (rows), S data streams (distinct seeds), B batch, I fan-in, O fan-out, k images an
example. Each row has its own seed and its own scalar hyper-parameters; rows never mix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from fabench.config import Config, InitOfB
from fabench.initialization import BIAS_INITS, FEEDBACK_INITS, WEIGHT_INITS
from fabench.learning_rule.base import FeedbackRule
from fabench.network import Weights, forward
from fabench.optimizer.base import State
from fabench.optimizer.sgd import Sgd
from fabench.randomness import generator

BLOCK = 2**16
"""Elements of a weight that an optimizer updates at a time on a CPU: a block, its gradient and its
state stay in the cache (256 KiB each)."""

Snapshot = dict[str, Tensor]


@dataclass(frozen=True)
class Row:
    """One network: its seed and its own hyper-parameters (lr, weight_decay, ...)."""

    seed: int
    scalars: dict[str, float]


class Operands:
    """The number format of the operands of matrix products; sums are always float32.

    bf16 rounds operands to 8 significant bits. Where the device has no bf16 arithmetic the rounded
    values are multiplied in float32: the same operands, without the speed (only the signals that a
    deep network passes from layer to layer stay unrounded on their way).
    """

    def __init__(self, precision: str, device: torch.device) -> None:
        self.rounds = precision == "bf16"
        self.native = self.rounds and (device.type == "cuda" or cpu_has_bf16())
        self.dtype = torch.bfloat16 if self.native else torch.float32
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")

    def __call__(self, x: Tensor) -> Tensor:
        """x as an operand (x itself in float32)."""
        if not self.rounds:
            return x
        return x.bfloat16() if self.native else x.bfloat16().float()


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 matrices in hardware."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class Population:
    """The weights, feedback matrices and optimizer state of R networks, and their training step."""

    def __init__(self, config: Config, rows: Sequence[Row], device: torch.device) -> None:
        """Draw R networks of ``config``'s architecture; seeds and scalars come from ``rows``."""
        self.rows, self.layers, self.task = rows, config.layers(), config.task
        self.rule, self.optimizer = config.learning_rule, config.optimizer
        self.device = device
        self.operand = Operands(config.trainer.precision, device)
        self.steps = 0
        self.weights = self._draw_weights()
        self.B = self._draw_feedback(config.init_of_B)
        self.state: dict[str, State] = {
            name: self.optimizer.initial_state(w) for name, w in self.trained().items()
        }
        self._scalars = [SimpleNamespace(**row.scalars) for row in rows]
        self._stacked = SimpleNamespace(**{
            name: torch.tensor([row.scalars[name] for row in rows], device=device).view(-1, 1, 1)
            for name in rows[0].scalars
        })  # fmt: skip
        self._decays = any(row.scalars["weight_decay"] for row in rows)
        self._gradients = {
            name: torch.empty_like(w, dtype=self.operand.dtype)
            for name, w in self.trained().items()
            if name[0] == "W" and not self._fused()
        }

    # -- Drawing -----------------------------------------------------------------------------

    def _stack(self, matrices: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(matrices)).to(self.device)

    def _draw_weights(self) -> Weights:
        weights = Weights([], [], [])
        for index, layer in enumerate(self.layers):
            i, o = layer.fan_in, layer.fan_out
            draw, scale = WEIGHT_INITS[layer.weight_init], np.float32(layer.weight_scale)
            streams = [[generator(row.seed, f"{name} {index}") for row in self.rows]
                       for name in ("weights", "biases", "gates")]  # fmt: skip
            weights.W.append(self._stack([draw(rng, i, o) * scale for rng in streams[0]]))
            weights.b.append(
                None
                if layer.bias_init is None
                else self._stack([BIAS_INITS[layer.bias_init](rng, i, o) for rng in streams[1]])
            )
            weights.G.append(
                None
                if layer.gate is None
                else self._stack([draw(rng, i, o) * scale for rng in streams[2]])
            )
        return weights

    def _draw_feedback(self, init: InitOfB) -> list[Tensor]:
        if not isinstance(self.rule, FeedbackRule) or len(self.layers) == 1:
            return []
        if init.name == "transported":
            return [init.scale * b for b in self.rule.transported(self.weights.W)]
        draw, scale = FEEDBACK_INITS[init.name], np.float32(init.scale)
        feedback = []
        for index, (source, to) in enumerate(self.rule.feedback_shapes(self.layers)):
            streams = [generator(row.seed, f"feedback {index}") for row in self.rows]
            feedback.append(self._stack([draw(rng, to, source).T * scale for rng in streams]))
        return feedback

    # -- Training ----------------------------------------------------------------------------

    def trained(self) -> dict[str, Tensor]:
        """The tensors that learn, by name: "W0", "b0", "W1", ..."""
        named: dict[str, Tensor] = {}
        for index, layer in enumerate(self.layers):
            if layer.trained:
                named[f"W{index}"] = self.weights.W[index]
                b = self.weights.b[index]
                if b is not None:
                    named[f"b{index}"] = b
        return named

    def n_parameters(self) -> int:
        """Trained parameters of one network."""
        return sum(w[0].numel() for w in self.trained().values())

    def operands(self) -> tuple[Weights, list[Tensor]]:
        """Weights and feedback as operands of this step's products."""
        w = self.weights
        b = [None if b is None else self.operand(b) for b in w.b]
        G = [None if g is None else self.operand(g) for g in w.G]
        return Weights([self.operand(W) for W in w.W], b, G), [self.operand(B) for B in self.B]

    def step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """One training step on x [R, B, I] (an operand), y [R, B, C].

        Returns the loss [R, B] and the output [R, B, C] of the forward pass, before the update.
        """
        weights, B = self.operands()
        passed = forward(self.layers, weights, x, self.operand)
        loss, e = self.task.loss_and_error(passed.output.float(), y)
        deltas = self.rule.teaching_signals(self.operand(e), passed, weights.W, B)
        self.steps += 1
        for index, (h, delta) in enumerate(zip(passed.h, deltas, strict=True)):
            if delta is not None and self.layers[index].trained:
                self._learn(index, h, self.operand(delta / x.shape[1]))
        return loss, passed.output

    def _learn(self, index: int, h: Tensor, delta: Tensor) -> None:
        """Update layer ``index`` from its input h [R, B, I] and delta [R, B, O], a batch mean."""
        name, W = f"W{index}", self.weights.W[index]
        if self._fused():
            if self._decays:
                W *= 1 - self._stacked.lr * self._stacked.weight_decay
            W.baddbmm_(h.mT, self._stacked.lr * delta, alpha=-1)
        else:
            self._update(name, W, torch.bmm(h.mT, delta, out=self._gradients[name]))
        b = self.weights.b[index]
        if b is not None:
            self._update(f"b{index}", b, delta.sum(1, keepdim=True, dtype=torch.float32))

    def _fused(self) -> bool:
        """Whether gradients go into the weights as they are computed: plain descent in float32."""
        return isinstance(self.optimizer, Sgd) and not self.operand.rounds

    def _update(self, name: str, W: Tensor, g: Tensor) -> None:
        state = self.state[name]
        if self.device.type != "cpu":
            self._update_block(W, g, state, self._stacked)
            return
        per_block = max(1, BLOCK // W.shape[2])
        for r, scalars in enumerate(self._scalars):
            for start in range(0, W.shape[1], per_block):
                block = (r, slice(start, start + per_block))
                part = {key: s[block] for key, s in state.items()}
                self._update_block(W[block], g[block], part, scalars)

    def _update_block(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        g = g.to(W.dtype)
        if self._decays:
            g = g + h.weight_decay * W
        self.optimizer.update_(W, g, state, self.steps, h)

    # -- Saving ------------------------------------------------------------------------------

    def snapshot(self, rows: slice) -> Snapshot:
        """Everything that the rows' training has changed, on the CPU, to continue from."""
        return {name: tensor[rows].cpu().clone() for name, tensor in self._changing().items()}

    def restore(self, rows: slice, snapshot: Snapshot) -> None:
        """Put a snapshot back."""
        for name, tensor in self._changing().items():
            tensor[rows] = snapshot[name].to(self.device)

    def _changing(self) -> Snapshot:
        state = {f"{n} {key}": t for n, s in self.state.items() for key, t in s.items()}
        feedback = {f"B{index}": b for index, b in enumerate(self.B)}
        return {**self.trained(), **feedback, **state}
