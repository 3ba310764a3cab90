"""What every model is: layers from input to output, drawn and activated alike."""

from abc import ABC, abstractmethod
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from fabench.model.layer.network import ActivationName, Layer
from fabench.schema import STRICT, Count, Fraction, Rate

WeightInit = Literal[
    "torch_uniform",
    "unit_uniform",
    "xavier_uniform",
    "he_normal",
    "lecun_normal",
    "standard_gaussian",
    "truncated_normal",
    "zeros",
]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Model(ABC):
    """``hidden``: widths of the dense hidden layers; the output layer is linear. ``batch_norm``:
    whether every hidden layer is normalised before its activation. ``weights``: a file of weights
    that every network begins with, instead of drawn ones; ``weights_sha256``: of what it holds,
    which stands for its place in a run's identity."""

    name: str
    hidden: list[Count]
    activation: ActivationName
    bias: bool
    weight_init: WeightInit
    weight_scale: Rate
    input_dropout: Fraction
    hidden_dropout: Fraction
    batch_norm: bool = False
    weights: str | None = None
    weights_sha256: str | None = None

    @abstractmethod
    def layers(self, item: tuple[int, ...], items: int, n_outputs: int) -> tuple[Layer, ...]:
        """The network's layers. ``item``: an image's (channels, rows, columns) or a vector's
        (length,); an example consists of so many ``items``. Raises UserError."""

    def dense(self, n_inputs: int, n_outputs: int) -> list[Layer]:
        """The hidden dense layers and the output layer."""
        *hidden, output = [
            Layer(i, o, **self._settings(self.hidden_dropout))
            for i, o in pairwise([n_inputs, *self.hidden, n_outputs])
        ]
        return [*hidden, replace(output, batch_norm=False)]

    def _settings(self, input_dropout: float) -> dict[str, Any]:
        bias_init = None
        if self.bias:  # PyTorch draws biases as it draws weights; the other inits start them at 0
            bias_init = "torch_uniform" if self.weight_init == "torch_uniform" else "zeros"
        return {
            "activation": self.activation,
            "weight_init": self.weight_init,
            "bias_init": bias_init,
            "weight_scale": "model.weight_scale",
            "input_dropout": input_dropout,
            "batch_norm": self.batch_norm,
        }
