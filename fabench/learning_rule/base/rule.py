"""What every learning rule is, and the families of rules.

Axes: R rows, B batch, I fan-in, O fan-out, C outputs. Layers are counted from 0, L of them.

A rule computes; a part of the population (see ``part.py``) carries out. Everything else is shared:
the forward pass, the optimizer, the data and the metrics. To add a rule, write
``learning_rule/<name>.py`` with a class of the same name, ``conf/learning_rule/<name>.yaml`` and
``tests/learning_rule/test_<name>.py``. A rule is final: what several share stands in an abstract
family beside this module, or in a function.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from fabench.dataset.base.dataset import Dataset
from fabench.learning_rule.base.part import Part
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.network import ForwardPass, Layer, Outer
from fabench.model.layer.parameter import Parameter
from fabench.task.base import Task


class LearningRule(ABC):
    """A subclass is a frozen pydantic dataclass; its fields are the rule's settings. Each row has
    its own of the float ones: there a rule sees a float, or a tensor [R, 1, 1]."""

    name: str

    backpropagation: ClassVar[dict[str, float]] = {}
    """Values of settings with which the rule is backpropagation, where there are any."""

    @property
    def has_feedback(self) -> bool:
        """Whether it has feedback matrices, as ``init_of_B`` says."""
        return False

    @property
    def draws_in_steps(self) -> bool:
        """Whether it draws noise in a step: on the CPU, so its step is no CUDA graph."""
        return False

    def parameters(self, layers: tuple[Layer, ...], init_of_B: InitOfB) -> dict[str, Parameter]:
        """The rule's own parameters, by name."""
        return {}

    def started_with(
        self, layers: tuple[Layer, ...], weights: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """What of the rule's own parameters begins as the network's does, [1, ...] by name, where
        that begins with ``weights``, all its parameters, instead of drawing them."""
        return {}

    def refusal(self, layers: tuple[Layer, ...]) -> str | None:
        """Why the rule cannot train such a network, to follow its name; None where it can."""
        return None

    def task_refusal(self, task: Task) -> str | None:
        """Why the rule cannot learn such a task, to follow its name; None where it can."""
        return None

    def dataset_refusal(self, dataset: Dataset) -> str | None:
        """Why the rule cannot learn from such items, to follow its name; None where it can."""
        return None

    @abstractmethod
    def outputs(self, part: Part, x: Tensor) -> Tensor:
        """What the networks answer to x [R, B, I]: the output's pre-activation [R, B, C]."""

    @abstractmethod
    def learn(self, part: Part, x: Tensor, y: Tensor) -> Tensor:
        """Take one step on x [R, B, I], an operand, and y [R, B, C]. Returns the output before it
        [R, B, C]."""


class DescentRule(LearningRule):
    """A rule that changes parameters by the optimizer's steps."""


class SearchRule(LearningRule):
    """A rule that puts parameters in place itself: it has no optimizer, and its YAML leaves the
    group out."""


class NoisyRule(LearningRule):
    """A rule that draws noise in a step."""

    @property
    def draws_in_steps(self) -> bool:
        return True


class LazyRule(LearningRule):
    """A rule that asks for hidden layers of its own kind (frozen features, fixed gates), whatever
    ``model.activation`` is."""

    @abstractmethod
    def hidden_layer(self, layer: Layer) -> Layer:
        """The layer that the rule puts in the place of the model's hidden ``layer``."""


def teach(part: Part, layer: int, outer: Outer, of_bias: Tensor | None = None) -> None:
    """Let a layer's weights and biases descend; ``of_bias`` [R, 1, units]: what the biases do, None
    for what follows from ``outer``."""
    part.descend(f"W{layer}", outer)
    if part.layers[layer].bias_init is not None:
        part.descend(f"b{layer}", outer.of_bias() if of_bias is None else of_bias)


def hidden_noise(part: Part, stream: str, n_examples: int) -> tuple[Tensor, ...]:
    """Noise [R, B, units] ~ N(0, 1) of this step for every hidden layer."""
    widths = [layer.units for layer in part.layers[:-1]]
    return part.noise(stream, (n_examples, sum(widths))).split(widths, 2)


def keep_statistics(part: Part, forward: ForwardPass) -> None:
    """Let the running statistics of normalised layers be those after a forward pass in training."""
    for layer, norm in forward.normalized.items():
        for name, value in norm.running.items():
            part.put(f"{name}{layer}", value)


def sent_up(part: Part, layer: int, h: Tensor) -> Tensor:
    """h W (+ b) [R, B, units]: what activities h [R, B, n_inputs] below a layer send it."""
    own = part.layers[layer]
    b = None if own.bias_init is None else part.operand(f"b{layer}")
    return own.preactivation(part.as_operand(h), part.operand(f"W{layer}"), b)[0]


def sent_down(part: Part, layer: int, s: Tensor) -> Tensor:
    """s W^T [R, B, n_inputs]: what a layer's activities s [R, B, units] send the layer below."""
    return part.layers[layer].back(part.as_operand(s), part.operand(f"W{layer}").mT, None)
