"""A population: networks of one architecture that train side by side.

Axes: R rows, S data streams (distinct seeds), B batch, I fan-in, O fan-out. Each row has its
own seed and its own scalar hyper-parameters; rows never mix.
"""

import copy
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import TypeVar

import torch
from torch import Tensor

from fabench.learning_rule.base.feedback import FeedbackRule
from fabench.learning_rule.base.rule import LearningRule
from fabench.learning_rule.base.settling import SettlingRule
from fabench.learning_rule.base.signal import dense_only
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.kernel import threads_an_operation
from fabench.model.layer.network import Layer, largest_weight
from fabench.model.layer.parameter import Parameter, learning, network_parameters
from fabench.optimizer.base import Optimizer, State
from fabench.parallel.base import ParallelScheme, WorkerScheme
from fabench.population.crew import Crew, workers_of
from fabench.population.descent import Descent
from fabench.population.draws import NetworkDraws
from fabench.population.freed_memory import keep_freed_memory
from fabench.population.lanes import Lanes
from fabench.population.part import PopulationPart, Shared, numbered
from fabench.population.precision import PAYS_FROM, NumberFormat, has_float64
from fabench.population.scratch import Scratch
from fabench.randomness import streams
from fabench.schedule.base import Schedule
from fabench.task.base import Task

LANES_FROM = 2**15
"""Weights of a layer from which a thread for every row pays: below, a step is Python, of which one
thread runs at a time."""

DEEP = 16
"""Small layers from which a CPU, too, computes all rows at once: a step is calls then."""

AHEAD = 4
"""Batches that rows in threads may be ahead of what is reported: more would only take memory."""

PROBED = 64
"""Rows of a GPU whose signals are looked at together."""

Snapshot = dict[str, Tensor]
Batch = tuple[Tensor, Tensor]
Rows = slice | list[int]


@dataclass(frozen=True)
class Row:
    """One network: its seed and its own numbers, by key ("optimizer.lr", "learning_rule.scale")."""

    seed: int
    scalars: dict[str, float]


def computes_together(device: torch.device, layers: Sequence[Layer], rule: LearningRule) -> bool:
    """Whether all rows are computed at once, as a GPU likes it, or one after the other, as a CPU
    does unless the network has very many small layers, or settles and is small; convolutions in
    groups are slow there."""
    largest = largest_weight(layers)
    settles = isinstance(rule, SettlingRule) and largest < LANES_FROM
    deep = len(layers) >= DEEP and largest < PAYS_FROM and dense_only(layers) is None
    return device.type != "cpu" or deep or settles


def takes_threads(layers: Sequence[Layer]) -> bool:
    """Whether, on a CPU, rows are large enough for threads of their own."""
    return largest_weight(layers) >= LANES_FROM


def is_a_graph(device: torch.device, rule: LearningRule, layers: Sequence[Layer]) -> bool:
    """Whether a step is the same kernels each time: on a GPU, where nothing is drawn in it."""
    draws = rule.draws_in_steps or any(layer.input_dropout for layer in layers)
    return device.type == "cuda" and not draws


Configured = TypeVar("Configured")


def bound(configured: Configured, scalars: dict[str, float | Tensor]) -> Configured:
    """A copy of a frozen configuration with some rows' numbers in its float fields."""
    own = copy.copy(configured)
    for name, value in scalars.items():
        object.__setattr__(own, name, value)
    return own


class Population:
    """R networks of one architecture, their optimizer state, and their training step.

    ``parameters`` says what they and their rule consist of, ``tensors`` holds it, [R, ...] each.
    """

    def __init__(
        self,
        layers: tuple[Layer, ...],
        rule: LearningRule,
        optimizer: Optimizer | None,
        task: Task,
        rows: Sequence[Row],
        operand: NumberFormat,
        *,
        init_of_B: InitOfB,
        schedule: Schedule,
        parallel: ParallelScheme,
        adversarial: float = 0.0,
        clip_norm: float | None = None,
        gradient_noise: tuple[float, float] = (0.0, 0.0),
        steps_an_epoch: int = 1,
        epochs: int = 1,
        weights: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        """Draw R networks; seeds and numbers come from ``rows``.

        ``optimizer``: None for a rule that searches; ``epochs``: of the whole run; ``weights``:
        what some parameters of every row [1, ...] begin with, instead.
        """
        optimizer = parallel.optimizer(optimizer) if optimizer else None
        self.layers, self.rule, self.task, self.rows = layers, rule, task, rows
        self.operand, self.device = operand, operand.device
        self.together = computes_together(self.device, layers, rule)
        counts_on = self.device if has_float64(self.device) else "cpu"
        self.t = torch.zeros((), dtype=torch.float64, device=counts_on)  # steps taken
        seeds = [row.seed for row in rows]
        self.streams = torch.tensor(streams(seeds)[1], device=self.device)
        draws = NetworkDraws(layers, seeds, self.device)
        own = network_parameters(layers, "descent" if optimizer else "put")
        self.trained_names = learning(layers)
        self.parameters = own | rule.parameters(layers, init_of_B)
        self.tensors = {
            name: draws.parameter(p, self._scale(p)) for name, p in self.parameters.items()
        }
        started = rule.started_with(layers, weights) if weights else {}
        for name, tensor in {**weights, **started}.items():
            self.tensors[name].copy_(tensor)
        if isinstance(rule, FeedbackRule) and init_of_B.name == "transported":
            for number, b in enumerate(rule.transported(self.matrices("W"))):
                self.tensors[f"B{number}"] = b * self._scale(self.parameters[f"B{number}"])
        self.state: dict[str, State] = {
            name: optimizer.initial_state(self.tensors[name]) if optimizer else {}
            for name in self._moving("descent")
        }
        self.scheme = parallel if isinstance(parallel, WorkerScheme) else None
        self.workers: dict[str, State] = {
            name: workers_of(self.scheme, self.tensors[name], state)
            for name, state in self.state.items()
            if self.scheme
        }
        scratch = Scratch()
        if self.device.type == "cpu":
            keep_freed_memory()
        decays = any(row.scalars["trainer.weight_decay"] for row in rows)
        self.descent = (
            Descent(optimizer, operand, scratch, self.together, decays) if optimizer else None
        )
        fixed = {name: operand(self.tensors[name]) for name in self._moving("never")}
        self._shared = Shared(
            layers, task.objective, self.descent, draws, operand, scratch,
            fixed, frozenset(n for n, p in self.parameters.items() if p.exact), adversarial,
            schedule, parallel, steps_an_epoch, epochs, clip_norm, gradient_noise,
        )  # fmt: skip
        size = len(rows) if self.together else 1
        self._parts = [self.part(slice(r, r + size)) for r in range(0, len(rows), size)]
        if self.descent:
            largest, steps = largest_weight(layers) * size, epochs * steps_an_epoch
            with threads_an_operation(torch.get_num_threads() // self._lanes()):  # as in training
                self.descent.compile(largest, size, steps, self._parts[0].scalars)
        self.replays = self.replays_on(self.device)

    def replays_on(self, device: torch.device) -> bool:
        """Whether a step there is a graph, which is recorded once."""
        draws = self._shared.gradient_noise[0] > 0 or self.scheme is not None
        return is_a_graph(device, self.rule, self.layers) and not draws

    def part(self, rows: slice) -> PopulationPart:
        """Some rows as their rule sees them: views, which stand at the last step taken."""
        stream = self.streams.tolist()
        own: slice | Tensor = self.streams[rows]
        if stream == list(range(len(stream))):
            own = rows  # no copies
        elif len(stream[rows]) == 1:
            own = slice(stream[rows.start], stream[rows.start] + 1)
        tensors = {name: tensor[rows] for name, tensor in self.tensors.items()}
        state, workers = (
            {n: {k: t[rows] for k, t in s.items()} for n, s in of_all.items()}
            for of_all in (self.state, self.workers)
        )
        crew = Crew(self.scheme, tensors, state, workers) if self.scheme else None
        decay = self._scalars("trainer", rows)["weight_decay"]
        scalars = SimpleNamespace(**self._scalars("optimizer", rows), weight_decay=decay)
        rule = bound(self.rule, self._scalars("learning_rule", rows))
        part = PopulationPart(self._shared, rule, rows, own, tensors, state, scalars, crew)
        part.begin(self._now)
        return part

    def _scalars(self, group: str, rows: slice) -> dict[str, float | Tensor]:
        """Some rows' numbers of one group, by name."""
        keys = [key for key in self.rows[0].scalars if key.startswith(f"{group}.")]
        return {key.removeprefix(f"{group}."): self._scalar(key, rows) for key in keys}

    def _scalar(self, key: str, rows: slice = slice(None)) -> float | Tensor:
        """A number as a float where rows share it, else as a tensor [R, 1, 1]: a float makes for
        the faster kernel."""
        values = [row.scalars[key] for row in self.rows[rows]]
        if len(set(values)) == 1:
            return values[0]
        return torch.tensor(values, device=self.device).view(-1, 1, 1)

    def _scale(self, p: Parameter) -> float | Tensor:
        return self._scalar(p.scale) if isinstance(p.scale, str) else p.scale

    def _moving(self, how: str) -> list[str]:
        """The names of the parameters that move so."""
        return [name for name, p in self.parameters.items() if p.moves == how]

    def matrices(self, kind: str) -> list[Tensor]:
        """The parameters ``kind``0, ``kind``1, ... themselves, as many as there are: "W", "B"."""
        return [self.tensors[name] for name in numbered(kind, self.tensors)]

    # -- Training ----------------------------------------------------------------------------

    def trained(self) -> dict[str, Tensor]:
        """The network's own parameters that move, by name: "W0", "b0", "W1", ..."""
        return {name: self.tensors[name] for name in self.trained_names}

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
        outputs = []
        for part in self._parts:
            part.begin(self._now)
            outputs.append(part.rule.outputs(part, x[part.streams]))
        return torch.cat(outputs).float()

    @property
    def steps(self) -> int:
        """Steps taken."""
        return int(self.t)

    @steps.setter
    def steps(self, number: int) -> None:
        self.t.fill_(number)

    @property
    def _now(self) -> int | Tensor:
        """``steps`` for computations on the rows' device: a tensor if it may lie there, else at
        least 1 (optimizers correct for it, and a tensor may be divided by 0)."""
        return self.t if self.t.device.type == self.device.type else max(self.steps, 1)

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """One training step on x [S, B, I] (an operand), y [R, B, C].

        Returns the output [R, B, C] of the forward pass, before the update.
        """
        self.t += 1
        number = self._now if self.together else self.steps
        outputs = [self._step(p, x[p.streams], y[p.rows], number) for p in self._parts]
        return outputs[0] if self.together else torch.cat(outputs)

    def train(self, batches: Iterable[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        """A step on each x, y, as ``step`` takes them: yields the output and y, in order.

        On a CPU of several cores the rows of large networks train in threads of their own, up to
        AHEAD batches ahead of what is yielded; x must stay as it is for so long.
        """
        cores, n_threads = torch.get_num_threads(), self._lanes()
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

    def _lanes(self) -> int:
        """How many rows train at a time, each in a thread of its own."""
        cores = torch.get_num_threads()
        return min(cores, len(self._parts)) if takes_threads(self.layers) else 1

    def _step(self, part: PopulationPart, x: Tensor, y: Tensor, number: int | Tensor) -> Tensor:
        part.begin(number)
        return part.step(x, y)

    # -- Saving ------------------------------------------------------------------------------

    def snapshot(self, rows: Rows) -> Snapshot:
        """Everything that the rows' training has changed, on the CPU, to continue from."""
        return {name: tensor[rows].cpu().clone() for name, tensor in self._changing().items()}

    def n_bytes(self) -> int:
        """Of the snapshot of all rows."""
        return sum(tensor.nbytes for tensor in self._changing().values())

    def fits(self, rows: slice, snapshot: Snapshot) -> bool:
        """Whether it is one of networks like these rows'. Older ones hold fixed feedback, too."""
        changing = self._changing().items()
        return all(n in snapshot and snapshot[n].shape == t[rows].shape for n, t in changing)

    def restore(self, rows: Rows, snapshot: Snapshot) -> None:
        """Put a snapshot back."""
        for name, tensor in self._changing().items():
            tensor[rows] = snapshot[name].to(self.device)

    def _changing(self) -> Snapshot:
        moving = {n: self.tensors[n] for how in ("descent", "put") for n in self._moving(how)}
        state = {f"{n} {key}": t for n, s in self.state.items() for key, t in s.items()}
        workers = {f"{n} of workers, {k}": t for n, s in self.workers.items() for k, t in s.items()}
        return {**moving, **state, **workers}
