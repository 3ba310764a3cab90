"""One trained network as a plain module of torch: it answers, and is no part of a population.

Axes: B examples, P values an item, k items an example, C outputs.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import torch
from numpy.random import Generator
from torch import Tensor, nn

from fabench.dataset.base.items import Pool
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.rule import LearningRule
from fabench.model.layer.network import ForwardPass, Layer, Outer, forward
from fabench.population.part import numbered
from fabench.task.base import Loss


class Network(nn.Module):
    """A network, and how its rule has it answer; in float32, whatever it was trained in.

    Its parameters have fabench's names and a first axis of one row: W0 [1, I, O], b0 [1, 1, O], B0
    (feedback), gain0, ... ``learning``: the names of those that learn, torch's parameters; the
    others are buffers. Inputs are items as the dataset has them (pixels, where it averages some
    their averages), which are standardized by ``pool``'s mean and standard deviation.
    """

    input_mean: Tensor
    input_std: Tensor

    def __init__(
        self,
        layers: tuple[Layer, ...],
        rule: LearningRule,
        objective: Loss,
        tensors: Mapping[str, Tensor],
        learning: set[str],
        pool: Pool,
        items: int,
    ) -> None:
        super().__init__()
        self.layers, self.rule, self.objective = layers, rule, objective
        self.names = tuple(tensors)
        for name, tensor in tensors.items():
            own = tensor.detach().clone()
            if name in learning:
                self.register_parameter(name, nn.Parameter(own))
            else:
                self.register_buffer(name, own)
        width = pool.values.shape[1]
        for name, value in (("input_mean", pool.mean), ("input_std", pool.std)):
            by_value = torch.as_tensor(value, dtype=torch.float32).expand(width)
            self.register_buffer(name, by_value.repeat(items))

    def forward(self, x: Tensor) -> Tensor:
        """The outputs before the last non-linearity [B, C] for examples [B, ...] of k P values."""
        x = (x.flatten(1).float() - self.input_mean) / self.input_std
        part = Answer(self.layers, self.objective, {n: getattr(self, n) for n in self.names})
        return self.rule.outputs(part, x[None])[0]

    def predict(self, x: Tensor) -> Tensor:
        """What the outputs say of examples [B, ...]: probabilities [B, C], of regression values."""
        with torch.no_grad():
            return self.objective.prediction(self(x))


class Answer(Part):
    """What a rule needs in order to answer: parameters that stay, in float32."""

    def __init__(
        self, layers: tuple[Layer, ...], objective: Loss, parameters: Mapping[str, Tensor]
    ) -> None:
        self.layers, self.objective, self.parameters = layers, objective, parameters
        self.t, self.adversarial = 0, 0.0

    @property
    def epoch(self) -> int:
        return 1

    def __getitem__(self, name: str) -> Tensor:
        return self.parameters[name]

    def operand(self, name: str) -> Tensor:
        return self.parameters[name]

    def operands(self, kind: str) -> list[Tensor]:
        return [self.parameters[name] for name in numbered(kind, self.parameters)]

    def as_operand(self, x: Tensor) -> Tensor:
        return x

    def forward(
        self, x: Tensor, training: bool = False, changed: Mapping[str, Tensor] | None = None
    ) -> ForwardPass:
        return forward(self.layers, {**self.parameters, **(changed or {})}, x)

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        return self.objective.value(output, y)

    def error(self, output: Tensor, y: Tensor) -> Tensor:
        return self.objective.error(output, y)

    def prediction(self, output: Tensor) -> Tensor:
        return self.objective.prediction(output)

    def noise(self, stream: str, shape: tuple[int, ...]) -> NoReturn:
        raise NotImplementedError("an answer draws nothing")

    def drawn(self, stream: str, draw: Callable[[Generator], Any], number: int) -> NoReturn:
        raise NotImplementedError("an answer draws nothing")

    def descend(self, name: str, g: Tensor | Outer, rate: float | Tensor = 1.0) -> NoReturn:
        raise NotImplementedError("an answer changes nothing")

    def put(self, name: str, value: Tensor) -> NoReturn:
        raise NotImplementedError("an answer changes nothing")
