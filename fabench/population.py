"""A population: networks of one architecture that train side by side.

Axes: R runs (rows), S data streams (distinct seeds), B batch, I fan-in, O fan-out. Each row has its
own seed and its own scalar hyper-parameters; rows never mix.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace

import torch
from torch import Tensor

from fabench.compiled import Update, as_tensors, compiled_update, update_
from fabench.config import Config, InitOfB
from fabench.convolution import Convolution
from fabench.drawing import NetworkDraws
from fabench.kernel import BLOCK
from fabench.lanes import Lanes, threads_an_operation
from fabench.learning_rule.base import FeedbackRule, LearningRule, Signals
from fabench.network import ForwardPass, Layer, Noise, Weights, forward, largest_weight
from fabench.operands import NetworkOperands, Scratch
from fabench.optimizer.base import State
from fabench.optimizer.sgd import Sgd
from fabench.precision import PAYS_FROM, Operands
from fabench.randomness import streams

LANES_FROM = 2**15
"""Weights of a layer from which a thread for every row pays: below, a step is Python, of which one
thread runs at a time."""

COMPILES_FROM = {"cpu": 2**31, "cuda": 2**36}
"""Elements of a weight (on a GPU, of all rows) times steps of a run from which a compiled update
pays: it takes seconds."""

DEEP = 16
"""Small layers from which a CPU, too, computes all rows at once: a step is calls then."""

AHEAD = 4
"""Batches that rows in threads may be ahead of what is reported: more would only take memory."""

PROBED = 64
"""Rows of a GPU whose signals are looked at together."""

Snapshot = dict[str, Tensor]
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Row:
    """One network: its seed and its own hyper-parameters (lr, weight_decay, ...)."""

    seed: int
    scalars: dict[str, float]


def computes_together(device: torch.device, layers: Sequence[Layer]) -> bool:
    """Whether all rows are computed at once, as a GPU likes it, or one after the other, as a CPU
    does unless the network has very many small layers."""
    small = largest_weight(layers) < PAYS_FROM
    return device.type != "cpu" or (len(layers) >= DEEP and small)


def takes_threads(layers: Sequence[Layer]) -> bool:
    """Whether, on a CPU, rows are large enough for threads of their own."""
    return largest_weight(layers) >= LANES_FROM


def drops(layers: Sequence[Layer]) -> bool:
    """Whether any layer has dropout."""
    return any(layer.input_dropout for layer in layers)


def is_a_graph(device: torch.device, rule: LearningRule, layers: Sequence[Layer]) -> bool:
    """Whether a step is the same kernels each time: on a GPU, where nothing is drawn in it."""
    return device.type == "cuda" and not rule.uses_noise and not drops(layers)


@dataclass
class Part:
    """Rows that are computed together, as views of the population's tensors.

    On a CPU every row of most networks is a part of its own: its weights are still in the cache
    when the update comes, and its scalars are plain floats. On a GPU all rows are one part.
    """

    rows: slice
    streams: slice | Tensor
    weights: Weights
    B: list[Tensor]
    state: dict[str, State]
    scalars: SimpleNamespace
    # of the step under way: its number (None: the population's own), and what the optimizer makes
    # of that and the scalars
    step: int | None = None
    numbers: SimpleNamespace = field(default_factory=SimpleNamespace)


class Population:
    """The weights, feedback matrices and optimizer state of R networks, and their training step."""

    def __init__(
        self,
        config: Config,
        rows: Sequence[Row],
        device: torch.device,
        fp32_kernel: str | None = None,
    ) -> None:
        """Draw R networks of ``config``'s architecture; seeds and scalars come from ``rows``.

        ``fp32_kernel``: that of the session that they go on from; None: the faster one.
        """
        self.rows, self.layers, self.task = rows, config.layers(), config.task
        self.rule, self.optimizer = config.learning_rule, config.optimizer
        self.adversarial = config.trainer.adversarial
        self.device, self.together = device, computes_together(device, self.layers)
        largest = config.trainer.batch_size * largest_weight(self.layers)
        self.operand = Operands(config.precision, device, largest, fp32_kernel)
        self.t = torch.zeros((), dtype=torch.float64, device=device)  # steps taken
        seeds = [row.seed for row in rows]
        self.streams = torch.tensor(streams(seeds)[1], device=device)
        self.draws = NetworkDraws(self.layers, seeds, device)
        self.weights = self.draws.weights()
        self.B = self._initial_feedback(config.init_of_B)
        self.scratch = Scratch()
        self.operands = NetworkOperands(
            self.layers, self.weights, self.B, self.operand, self.scratch
        )
        learns_feedback = isinstance(self.rule, FeedbackRule) and self.rule.learns_feedback
        learning = {**self.trained(), **(self._feedback() if learns_feedback else {})}
        self.state: dict[str, State] = {
            name: self.optimizer.initial_state(w) for name, w in learning.items()
        }
        self._decays = any(row.scalars["weight_decay"] for row in rows)
        self._parts = self._divide()
        self.compiled = self._compile(config)
        self.replays = is_a_graph(device, self.rule, self.layers)

    def _divide(self) -> list[Part]:
        count = len(self.rows)
        size = count if self.together else 1
        stream = self.streams.tolist()
        parts = []
        for rows in (slice(r, r + size) for r in range(0, count, size)):
            weights = self.weights.of(rows)
            state = {n: {k: t[rows] for k, t in s.items()} for n, s in self.state.items()}
            B = [b[rows] for b in self.B]
            own = self.streams if self.together else slice(stream[r := rows.start], stream[r] + 1)
            if stream == list(range(count)):
                own = rows  # no copies
            parts.append(Part(rows, own, weights, B, state, self._scalars(rows)))
        return parts

    def _compile(self, config: Config) -> Update | None:
        """The optimizer's update, compiled where it pays: in long runs, where it is more than one
        operation (plain descent of a GPU's rounded gradients is a cast more)."""
        part, device = self._parts[0], self.device
        largest = max(W.numel() for W in part.weights.W)
        steps = config.steps(config.trainer.epochs)
        pays = largest >= PAYS_FROM and largest * steps >= COMPILES_FROM[device.type]
        casts = device.type == "cuda" and self.operand.native
        several = casts or any(self.state.values())
        on_cpu_together = self.together and device.type == "cpu"
        if on_cpu_together or not pays or not several:
            return None
        W = torch.ones(len(part.weights.W[0]), 48, 80, device=device)  # unequal: no square
        return compiled_update(self.optimizer, part.scalars, W, self.operand.dtype)

    def _scalars(self, rows: slice) -> SimpleNamespace:
        """Each scalar as a float where the rows share it, else as a tensor [R, 1, 1]: a number
        makes for the faster kernel."""
        scalars: dict[str, float | Tensor] = {}
        for name in self.rows[0].scalars:
            values = [row.scalars[name] for row in self.rows[rows]]
            scalars[name] = (
                values[0]
                if len(set(values)) == 1
                else torch.tensor(values, device=self.device).view(-1, 1, 1)
            )
        return SimpleNamespace(**scalars)

    def _initial_feedback(self, init: InitOfB) -> list[Tensor]:
        if not isinstance(self.rule, FeedbackRule) or len(self.layers) == 1:
            return []
        if init.name == "transported":
            return [init.scale * b for b in self.rule.transported(self.weights.W)]
        return self.draws.feedback(init, self.rule.feedback_shapes(self.layers))

    def noise(self, rows: slice, step: int | None = None) -> Noise | None:
        """Normal noise for some rows' step (None: the present one), as operands, if the rule uses
        any."""
        if not self.rule.uses_noise:
            return None
        number = self.steps if step is None else step
        return lambda name, shape: self.operand(self.draws.noise(rows, name, shape, number))

    def masks(self, rows: slice, n_examples: int, step: int | None = None) -> list[Tensor | None]:
        """Dropout's factors of every layer's inputs [R, B, n_inputs] in some rows' step (None: the
        present one)."""
        if not drops(self.layers):
            return [None] * len(self.layers)
        return self.draws.masks(rows, n_examples, self.steps if step is None else step)

    # -- Training ----------------------------------------------------------------------------

    def trained(self) -> dict[str, Tensor]:
        """The parameters that learn, by name: "W0", "b0", "W1", ..."""
        named: dict[str, Tensor] = {}
        for index, layer in enumerate(self.layers):
            if layer.trained:
                named[f"W{index}"] = self.weights.W[index]
                b = self.weights.b[index]
                if b is not None:
                    named[f"b{index}"] = b
        return named

    def _feedback(self) -> dict[str, Tensor]:
        return {f"B{index}": b for index, b in enumerate(self.B)}

    def n_parameters(self) -> int:
        """Trained parameters of one network."""
        return sum(w[0].numel() for w in self.trained().values())

    @property
    def portions(self) -> list[slice]:
        """The rows whose signals are looked at together: no more than fit beside the weights."""
        size = PROBED if self.together else 1
        return [slice(r, r + size) for r in range(0, len(self.rows), size)]

    def outputs(self, x: Tensor) -> Tensor:
        """The output [R, B, C] of every network on x [S, B, I], an operand."""
        parts = []
        for part in self._parts:
            weights = self.operands.weights(part.rows)
            parts.append(forward(self.layers, weights, x[part.streams], self.operand).output)
        return torch.cat(parts).float()

    @property
    def steps(self) -> int:
        """Steps taken."""
        return int(self.t)

    @steps.setter
    def steps(self, number: int) -> None:
        self.t.fill_(number)

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """One training step on x [S, B, I] (an operand), y [R, B, C].

        Returns the output [R, B, C] of the forward pass, before the update.
        """
        self.t += 1
        number = None if self.together else self.steps
        outputs = [self._step(p, x[p.streams], y[p.rows], number) for p in self._parts]
        return outputs[0] if self.together else torch.cat(outputs)

    def train(self, batches: Iterable[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        """A step on each x, y, as ``step`` takes them: yields the output and y, in order.

        On a CPU of several cores the rows of large networks train in threads of their own, up to
        AHEAD batches ahead of what is yielded; x must stay as it is for so long.
        """
        cores = torch.get_num_threads()
        n_threads = min(cores, len(self._parts)) if takes_threads(self.layers) else 1
        if n_threads == 1:
            for x, y in batches:
                yield self.step(x, y), y
            return
        pending: deque[tuple[list[Future[Tensor]], Tensor]] = deque()
        with threads_an_operation(cores // n_threads), ExitStack() as stack:
            lanes: Lanes[Tensor] = Lanes(len(self._parts), n_threads)
            stack.callback(lanes.close)
            for x, y in batches:
                self.t += 1
                number = self.steps
                each = [partial(self._step, p, x[p.streams], y[p.rows], number)
                        for p in self._parts]  # fmt: skip
                pending.append(([lanes.submit(i, step) for i, step in enumerate(each)], y))
                if len(pending) == AHEAD:
                    outputs, y = pending.popleft()
                    yield torch.cat([output.result() for output in outputs]), y
            for outputs, y in pending:
                yield torch.cat([output.result() for output in outputs]), y

    def _step(self, part: Part, x: Tensor, y: Tensor, number: int | None) -> Tensor:
        part.step = number
        part.numbers = self.optimizer.at_step(self.t if number is None else number, part.scalars)
        weights, B = self.operands.weights(part.rows), self.operands.feedback(part.rows)
        passed, e, deltas = self._signals(part, x, y, weights, B)
        if self.adversarial and deltas[0] is not None:
            error = passed.back(0, deltas[0], weights.W[0].mT)
            x = self.operand(x + self.adversarial * error.sign())
            passed, e, deltas = self._signals(part, x, y, weights, B)
        if isinstance(self.rule, FeedbackRule):
            signals = [delta for delta in deltas if delta is not None]
            gradients = self.rule.feedback_gradients(passed, signals, e, weights.W, B)
            for index, gradient in enumerate(gradients):
                if gradient is not None:
                    self._update(part, f"B{index}", part.B[index], gradient)
        for index, delta in enumerate(deltas):
            if delta is not None and self.layers[index].trained:
                self._learn(part, index, passed, delta)
        return passed.output.float()

    def _signals(
        self, part: Part, x: Tensor, y: Tensor, weights: Weights, B: list[Tensor]
    ) -> tuple[ForwardPass, Tensor, Signals]:
        """The forward pass, the error e and the teaching signals."""
        masks = self.masks(part.rows, x.shape[1], part.step)
        passed = forward(self.layers, weights, x, self.operand, masks)
        passed.y, passed.noise = self.operand(y), self.noise(part.rows, part.step)
        e = self.operand(self.task.objective.error(passed.output.float(), y))
        return passed, e, self.rule.teaching_signals(e, passed, weights.W, B)

    def _learn(self, part: Part, index: int, passed: ForwardPass, delta: Tensor) -> None:
        """Update layer ``index`` by the batch mean of h^T delta, delta [R, B, units]."""
        layer, h = self.layers[index], passed.h[index]
        name, W, lr, size = f"W{index}", part.weights.W[index], part.scalars.lr, h.shape[1]
        if self._plain(index) and self.device.type == "cuda":
            if self._decays:
                W *= 1 - lr * part.scalars.weight_decay
            W.baddbmm_(h.mT, lr / size * delta, alpha=-1)  # sums over the batch first
        elif self._plain(index):
            n, mean, blocks = max(1, BLOCK // W.shape[2]), delta / size, [(W, h)]
            if n < W.shape[1]:
                blocks = list(zip(W.split(n, 1), h.split(n, 2), strict=True))
            for w, inputs in blocks:
                g = layer.gradient(inputs, mean, None)
                update_(self.optimizer, w, g, {}, part.numbers, self._decays)
        else:
            out = self.scratch(f"gradient {name}", W, self.operand.dtype)
            gradient = layer.gradient(h, self.operand(delta / size), passed.places[index], out)
            self._update(part, name, W, gradient)
        b = part.weights.b[index]
        if b is not None:
            self._update(part, f"b{index}", b, layer.bias_gradient(delta) / size)

    def _plain(self, index: int) -> bool:
        """Whether a layer's gradient goes into its weights as it is computed, on a CPU in blocks
        (fused, a product may round each example's term to the weights): plain descent in float32
        of a dense layer."""
        dense = not isinstance(self.layers[index], Convolution)
        return dense and isinstance(self.optimizer, Sgd) and not self.operand.rounds

    def _update(self, part: Part, name: str, W: Tensor, g: Tensor) -> None:
        """The optimizer's step: on a CPU compiled, or in blocks that fit its cache."""
        state, h = part.state[name], part.numbers
        if self.compiled and W.numel() >= PAYS_FROM:
            self.compiled(self.optimizer, W, g, state, as_tensors(h), self._decays)
            return
        size = W.shape[1] if self.together else max(1, BLOCK // W.shape[2])
        blocks = (tensor.split(size, 1) for tensor in (W, g, *state.values()))
        for w, gradient, *states in zip(*blocks, strict=True):
            of_block = dict(zip(state, states, strict=True))
            update_(self.optimizer, w, self._float32(gradient), of_block, h, self._decays)

    def _float32(self, g: Tensor) -> Tensor:
        """A gradient in its weights' format, until the next call."""
        return g if g.dtype == torch.float32 else self.scratch("block", g, torch.float32).copy_(g)

    # -- Saving ------------------------------------------------------------------------------

    def snapshot(self, rows: slice) -> Snapshot:
        """Everything that the rows' training has changed, on the CPU, to continue from."""
        return {name: tensor[rows].cpu().clone() for name, tensor in self._changing().items()}

    def n_bytes(self) -> int:
        """Of the snapshot of all rows."""
        return sum(tensor.nbytes for tensor in self._changing().values())

    def restore(self, rows: slice, snapshot: Snapshot) -> None:
        """Put a snapshot back."""
        for name, tensor in self._changing().items():
            tensor[rows] = snapshot[name].to(self.device)

    def _changing(self) -> Snapshot:
        state = {f"{n} {key}": t for n, s in self.state.items() for key, t in s.items()}
        return {**self.trained(), **self._feedback(), **state}
