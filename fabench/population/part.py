"""Some rows of a population as a learning rule sees them, and how its wishes are carried out.

Axes: R rows, B batch, I fan-in, O fan-out, C outputs.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import LearningRule
from fabench.model.layer.network import ForwardPass, Layer, Outer, forward
from fabench.model.layer.parameter import learning
from fabench.optimizer.base import State
from fabench.parallel.base import ParallelScheme
from fabench.population.crew import Crew
from fabench.population.descent import Descent
from fabench.population.draws import NetworkDraws
from fabench.population.precision import NumberFormat
from fabench.population.scratch import Scratch
from fabench.schedule.base import Schedule
from fabench.schema import UserError
from fabench.task.base import Loss

WEIGHT_DECAYS = ("weight_decay", "decoupled_weight_decay")
"""Numbers of a row that are multiplied by its learning rate: a part of the gradient, and apart."""


@dataclass(frozen=True)
class Shared:
    """What all parts of a population share."""

    layers: tuple[Layer, ...]
    objective: Loss
    descent: Descent | None
    draws: NetworkDraws
    operand: NumberFormat
    scratch: Scratch
    fixed: dict[str, Tensor]
    """What never moves, of all rows, as operands."""
    exact: frozenset[str]
    """The parameters that are float32 as operands, too."""
    adversarial: float
    schedule: Schedule
    parallel: ParallelScheme
    steps_an_epoch: int
    epochs: int
    clip_norm: float | None
    """The largest norm of the network's gradient, all parameters together."""
    gradient_noise: tuple[float, float]
    """eta and gamma of the variance eta / (1 + t)^gamma that is added to it in step t."""


class PopulationPart(Part):
    """Rows that are computed together, as views of the population's tensors.

    On a CPU every row of most networks is a part of its own: its weights are still in the cache
    when the update comes, and its scalars are plain floats. On a GPU all rows are one part.
    """

    def __init__(
        self,
        shared: Shared,
        rule: LearningRule,
        rows: slice,
        streams: slice | Tensor,
        tensors: dict[str, Tensor],
        state: dict[str, State],
        scalars: SimpleNamespace,
        crew: Crew | None = None,
    ) -> None:
        """``rule``: with these rows' numbers; ``scalars``: the optimizer's; ``tensors``,
        ``state`` and ``crew``, where there are several workers: of these rows."""
        self.shared, self.rule, self.rows, self.streams = shared, rule, rows, streams
        self.layers, self.adversarial = shared.layers, shared.adversarial
        self.tensors, self.state, self.scalars, self.crew = tensors, state, scalars, crew
        self.operands_of = CastParameters(tensors, rows, shared)
        self.noted: dict[str, Tensor] | None = None
        changes = shared.clip_norm is not None or shared.gradient_noise[0] > 0
        self.changed = frozenset(learning(self.layers) if changes else ())
        self.waiting: list[tuple[str, Tensor, float | Tensor]] = []  # for the step's end
        self.kept: dict[str, tuple[int, Tensor]] = {}  # what was drawn last, by stream

    def begin(self, t: int | Tensor) -> None:
        """Stand at step number ``t``."""
        self.t = t
        s = self.shared
        if s.descent:
            lr = self.scalars.lr * s.schedule.at(t, s.steps_an_epoch, s.epochs)
            scalars = SimpleNamespace(**vars(self.scalars) | {"lr": lr})
            optimizer = s.descent.optimizer
            if optimizer.counts_epochs:
                own_t = (t - 1) // s.steps_an_epoch + 1
            else:
                own_t = s.parallel.steps_of_optimizer(t)
            self.numbers = optimizer.at_step(own_t, scalars)
        self.operands_of.forget()

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """The rule's step on x [R, B, I], an operand, and y [R, B, C]; where there are workers,
        that of one of each row's. Returns the output before it [R, B, C]."""
        if self.crew is None:
            return self._learn(x, y)
        p = self.crew.scheme.workers
        n, place = divmod(int(self.t) - 1, p)
        order = self.drawn("workers", lambda rng: rng.permutation(p), n)
        self.crew.begin(order[:, place])
        output = self._learn(x, y)
        self.crew.finish(n + 1)
        return output

    def _learn(self, x: Tensor, y: Tensor) -> Tensor:
        output = self.rule.learn(self, x, y).float()
        self._finish()
        return output

    @property
    def epoch(self) -> int:
        return max(int(self.t) - 1, 0) // self.shared.steps_an_epoch + 1

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def operand(self, name: str) -> Tensor:
        return self.operands_of[name]

    def operands(self, kind: str) -> list[Tensor]:
        return [self.operands_of[name] for name in numbered(kind, self.tensors)]

    def as_operand(self, x: Tensor) -> Tensor:
        return self.shared.operand(x)

    def forward(
        self, x: Tensor, training: bool = False, changed: Mapping[str, Tensor] | None = None
    ) -> ForwardPass:
        s, masks = self.shared, None
        parameters: Mapping[str, Tensor] = self.operands_of
        if training and any(layer.input_dropout for layer in self.layers):
            masks = s.draws.masks(self.rows, x.shape[1], int(self.t))
        if changed:
            own = {n: v if n in s.exact else s.operand(v) for n, v in changed.items()}
            parameters = {**parameters, **own}
        return forward(self.layers, parameters, x, s.operand, masks, training)

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        return self.shared.objective.value(output.float(), y)

    def error(self, output: Tensor, y: Tensor) -> Tensor:
        return self.shared.operand(self.shared.objective.error(output.float(), y))

    def prediction(self, output: Tensor) -> Tensor:
        return self.shared.objective.prediction(output.float())

    def noise(self, stream: str, shape: tuple[int, ...]) -> Tensor:
        return self.shared.operand(self.shared.draws.noise(self.rows, stream, shape, int(self.t)))

    def drawn(self, stream: str, draw: Callable[[Generator], NDArray[Any]], number: int) -> Tensor:
        if self.kept.get(stream, (None,))[0] != number:
            own = self.shared.draws.drawn(self.rows, stream, draw, number)
            self.kept[stream] = number, own
        return self.kept[stream][1]

    def descend(self, name: str, g: Tensor | Outer, rate: float | Tensor = 1.0) -> None:
        if self.noted is not None:
            self.noted[name] = g.value(self.as_operand) if isinstance(g, Outer) else g
            return
        if name in self.changed:
            value = g.value(self.as_operand) if isinstance(g, Outer) else g
            self.waiting.append((name, value.float(), rate))
            return
        self._descend(name, g, rate)

    def _finish(self) -> None:
        """End the step: let descend what waits for the whole gradient, clipped and with noise."""
        s, (eta, gamma) = self.shared, self.shared.gradient_noise
        gradients = [g for _, g, _ in self.waiting]
        if s.clip_norm is not None and gradients:
            squares = [g.square().sum((1, 2), keepdim=True) for g in gradients]
            norm = torch.stack(squares).sum(0).sqrt()
            factor = (s.clip_norm / norm).clamp(max=1)
            gradients = [factor * g for g in gradients]
        for (name, _, rate), g in zip(self.waiting, gradients, strict=True):
            if eta:
                sd = (eta / (1 + self.t) ** gamma) ** 0.5
                g = g + sd * self.noise(f"gradient of {name}", g.shape[1:]).float()
            self._descend(name, g, rate)
        self.waiting.clear()

    def _descend(self, name: str, g: Tensor | Outer, rate: float | Tensor) -> None:
        descent, numbers = self.shared.descent, self.numbers
        assert descent is not None
        if isinstance(rate, Tensor) or rate != 1:
            apart = WEIGHT_DECAYS if descent.optimizer.linear else WEIGHT_DECAYS[1:]
            own = {n: v / rate for n, v in vars(numbers).items() if n in apart}
            numbers = SimpleNamespace(**vars(numbers) | own | {"lr": numbers.lr * rate})
        descent(name, self.tensors[name], g, self.state[name], numbers)
        self.operands_of.forget(name)

    def put(self, name: str, value: Tensor) -> None:
        if name in self.shared.fixed:
            raise UserError(
                f"learning_rule={self.rule.name} puts {name}, of which it says that it never "
                "changes; feedback that does, a rule's put_feedback names."
            )
        if self.noted is not None:
            self.noted[name] = value
            return
        self.tensors[name].copy_(value)
        self.operands_of.forget(name)

    def wishes(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """What the rule would have descend, and put, in a step on x and y: nothing is changed."""
        self.noted = {}
        try:
            self.rule.learn(self, x, y)
            return self.noted
        finally:
            self.noted = None


def numbered(kind: str, names: Mapping[str, object]) -> Iterator[str]:
    """``kind``0, ``kind``1, ..., as many as there are."""
    number = 0
    while f"{kind}{number}" in names:
        yield f"{kind}{number}"
        number += 1


class CastParameters(Mapping[str, Tensor]):
    """Some rows' parameters as operands of products: each is cast when it is first asked for, into
    memory that all parts of a thread share, and holds until it moves or the step ends."""

    def __init__(self, tensors: dict[str, Tensor], rows: slice, shared: Shared) -> None:
        self._tensors, self._operand, self._scratch = tensors, shared.operand, shared.scratch
        self._fixed = {name: tensor[rows] for name, tensor in shared.fixed.items()}
        self._fixed |= {name: tensors[name] for name in shared.exact}
        self._cast: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name in self._fixed:
            return self._fixed[name]
        if name not in self._cast:
            own, operand = self._tensors[name], self._operand
            out = self._scratch(f"operand {name}", own, operand.dtype) if operand.native else None
            self._cast[name] = operand(own, out)
        return self._cast[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def forget(self, name: str | None = None) -> None:
        """Cast anew what is asked for next: one parameter, or all."""
        if name is None:
            self._cast.clear()
        else:
            self._cast.pop(name, None)
