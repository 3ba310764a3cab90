"""What every model is: layers from input to output, drawn and activated alike."""

from abc import ABC, abstractmethod
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import PlainValidator
from pydantic.dataclasses import dataclass

from fabench.model.layer.network import ActivationName, Layer
from fabench.schema import STRICT, Count, Fraction, Rate, UserError

WeightInit = Literal[
    "torch_uniform",
    "unit_uniform",
    "xavier_uniform",
    "he_normal",
    "lecun_normal",
    "standard_gaussian",
    "truncated_normal",
    "orthogonal",
    "zeros",
]


def _names(value: object) -> object:
    """One sentence whatever is wrong, in the list or not."""
    known = get_args(ActivationName)
    if any(name not in known for name in (value if isinstance(value, list) else [value])):
        raise ValueError(f"should be one of {', '.join(known)}, or a list of them")
    return value


Activations = Annotated[ActivationName | list[ActivationName], PlainValidator(_names)]
"""One for all hidden layers, or each one's."""


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Model(ABC):
    """``hidden``: widths of the dense hidden layers; the output layer is linear. ``activation``: of
    all hidden layers, or, where all are dense, a list with each one's. ``batch_norm``:
    whether every hidden layer is normalised before its activation. ``weights``: a file of weights
    that every network begins with, instead of drawn ones; ``weights_sha256``: of what it holds,
    which stands for its place in a run's identity."""

    name: str
    hidden: list[Count]
    activation: Activations
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
        f, n = self.activation, len(self.hidden)
        if isinstance(f, list) and len(f) != n:
            raise UserError(f"model.activation={f}: name one, or {n}, one for each hidden layer.")
        names = [*f, "linear"] if isinstance(f, list) else [f] * (n + 1)
        widths = pairwise([n_inputs, *self.hidden, n_outputs])
        *hidden, output = [
            Layer(i, o, **self._settings(self.hidden_dropout, name))
            for (i, o), name in zip(widths, names, strict=True)
        ]
        return [*hidden, replace(output, batch_norm=False)]

    def _settings(self, input_dropout: float, activation: str | None = None) -> dict[str, Any]:
        """``activation``: None of a layer that is not dense."""
        if activation is None and isinstance(self.activation, list):
            raise UserError(
                f"model.activation={self.activation}: model={self.name} takes one for all layers."
            )
        bias_init = None
        if self.bias:  # PyTorch draws biases as it draws weights; the other inits start them at 0
            bias_init = "torch_uniform" if self.weight_init == "torch_uniform" else "zeros"
        return {
            "activation": activation or self.activation,
            "weight_init": self.weight_init,
            "bias_init": bias_init,
            "weight_scale": "model.weight_scale",
            "input_dropout": input_dropout,
            "batch_norm": self.batch_norm,
        }
