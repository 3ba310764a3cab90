"""The optimizer's steps, carried out: in plain descent as one product, compiled, or in blocks.

Axes: R rows, I fan-in, O fan-out.
"""

import functools
import math
from types import SimpleNamespace

import torch
from torch import Tensor

from fabench.model.layer.kernel import BLOCK
from fabench.model.layer.network import Outer
from fabench.optimizer.base import Optimizer, State
from fabench.optimizer.sgd import Sgd
from fabench.population.compiled import Update, as_tensors, compiled_update, update_
from fabench.population.precision import PAYS_FROM, NumberFormat
from fabench.population.scratch import Scratch

COMPILES_FROM = {"cpu": 2**31, "cuda": 2**36, "mps": math.inf}
"""Elements of a weight (on a GPU, of all rows) times steps of a run from which a compiled update
pays: it takes seconds."""


class Descent:
    """Takes an optimizer's steps for the parameters of a population."""

    def __init__(
        self, optimizer: Optimizer, operand: NumberFormat, scratch: Scratch, together: bool,
        decays: bool,
    ) -> None:  # fmt: skip
        """``together``: whether all rows are computed at once; ``decays``: whether any row has
        weight decay."""
        self.optimizer, self.operand, self.scratch = optimizer, operand, scratch
        self.together, self.decays = together, decays
        self.on_gpu = operand.device.type == "cuda"
        self.compiled: Update | None = None

    def compile(self, largest: int, rows: int, steps: int, scalars: SimpleNamespace) -> None:
        """Compile the update where it pays: in long runs, where it is more than one operation
        (plain descent of a GPU's rounded gradients is a cast more).

        ``largest``: elements of a part's largest weight, which has so many ``rows``; ``steps``: of
        the whole run; ``scalars``: the optimizer's, of such a part.
        """
        device = self.operand.device
        pays = largest >= PAYS_FROM and largest * steps >= COMPILES_FROM[device.type]
        casts = device.type == "cuda" and self.operand.native
        W = torch.ones(rows, 48, 80, device=device)  # unequal: no square
        several = casts or bool(self.optimizer.initial_state(W))
        on_cpu_together = self.together and device.type == "cpu"
        if pays and several and not on_cpu_together:
            self.compiled = compiled_update(self.optimizer, scalars, W, self.operand.dtype)

    def __call__(
        self, name: str, W: Tensor, g: Tensor | Outer, state: State, h: SimpleNamespace
    ) -> None:
        """A step of parameter W [R, I, O], in place; ``h``: what ``at_step`` returned."""
        if isinstance(g, Outer):
            plain = self.is_plain(g)
            if plain and self._fuses(g):
                if self.decays:
                    W *= 1 - h.lr * h.weight_decay
                W.baddbmm_(g.h.mT, h.lr / g.size * g.delta, alpha=-1)
                return
            if plain and self.operand.fp32_kernel == "onednn":
                self._descend(W, g, h)
                return
            out = self.scratch(f"gradient {name}", W, self.operand.dtype)
            g = g.value(self.operand, out)
        if self.compiled and W.numel() >= PAYS_FROM:
            self.compiled(self.optimizer, W, g, state, as_tensors(h), self.decays)
            return
        size = max(1, BLOCK // W.shape[2])
        if self.together or size >= W.shape[1]:
            update_(self.optimizer, W, self._float32(g), state, h, self.decays)
            return
        blocks = (tensor.split(size, 1) for tensor in (W, g, *state.values()))
        for w, gradient, *states in zip(*blocks, strict=True):
            of_block = dict(zip(state, states, strict=True))
            update_(self.optimizer, w, self._float32(gradient), of_block, h, self.decays)

    def is_plain(self, g: Outer) -> bool:
        """Whether a gradient goes into the weights as it is computed: plain descent in float32 of a
        dense layer."""
        dense = not g.layer.shares_weights
        return dense and isinstance(self.optimizer, Sgd) and not self.operand.rounds

    def _fuses(self, g: Outer) -> bool:
        """Whether the product may be added to the weights as it is computed: a GPU sums over the
        batch first."""
        if self.on_gpu or self.together or self.operand.fp32_kernel != "torch":
            return self.on_gpu
        return sums_first(g.h.shape[1], g.h.shape[2], g.delta.shape[2])

    def _descend(self, W: Tensor, g: Outer, h: SimpleNamespace) -> None:
        """Plain descent in blocks: oneDNN's kernel would write new memory for a whole gradient."""
        n, mean, blocks = max(1, BLOCK // W.shape[2]), g.delta / g.size, [(W, g.h)]
        if n < W.shape[1]:
            blocks = list(zip(W.split(n, 1), g.h.split(n, 2), strict=True))
        for w, inputs in blocks:
            gradient = g.layer.gradient(inputs, mean, None)
            update_(self.optimizer, w, gradient, {}, h, self.decays)

    def _float32(self, g: Tensor) -> Tensor:
        """A gradient in its weights' format, until the next call."""
        return g if g.dtype == torch.float32 else self.scratch("block", g, torch.float32).copy_(g)


@functools.cache
def sums_first(batch: int, i: int, o: int) -> bool:
    """Whether this CPU's product of h^T [i, batch] and delta [batch, o], added to weights, sums
    before it rounds to them; else an example's term may be lost. Tried once a shape."""
    rng = torch.Generator().manual_seed(0)
    h, delta = (torch.randn(1, batch, n, generator=rng) for n in (i, o))
    W, delta = torch.ones(1, i, o), 2**-24 / batch**0.5 * delta  # a sum is about W's last digit
    fused, apart = W.baddbmm(h.mT, delta, alpha=-1), W - h.mT @ delta
    return bool((fused == apart).double().mean() > 0.99)
