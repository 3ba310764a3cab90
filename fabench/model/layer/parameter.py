"""Parameters: the named tensors of a population, one table for a network's and a rule's own.

Axes: R rows, I fan-in, O fan-out, C channels. A network's parameters are W<l> [R, I, O], b<l>
[R, 1, O] and, of a gated layer, G<l> [R, I, O], for layer l; where its sum is normalised gain<l>,
shift<l>, mean<l> and variance<l> [R, 1, O]. Feedback matrices are B0, B1, ...
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fabench.model.layer.initialization import BIAS_INITS, WEIGHT_INITS, Matrix
from fabench.model.layer.network import Layer
from fabench.model.layer.normalization import LEARNED, STATISTICS

Moves = Literal["descent", "put", "never"]
"""How a parameter changes: by the optimizer's steps, by what a rule puts there, not at all."""

Scale = float | str
"""A factor, or the key of the setting of which every row has its own: "init_of_B.scale"."""


@dataclass(frozen=True)
class Parameter:
    """One tensor [R, *shape]: ``draw`` gives a row's first values, which are a function of its seed
    and ``stream``, and which ``scale`` multiplies. ``exact``: as an operand, too, it is float32."""

    shape: tuple[int, int]
    draw: Callable[[Generator], NDArray[np.float32]]
    stream: str
    moves: Moves = "descent"
    scale: Scale = 1.0
    exact: bool = False


def network_parameters(layers: Sequence[Layer], how: Moves = "descent") -> dict[str, Parameter]:
    """W, b and G of every layer, and its normalisation's. They move as ``how`` says, those of a
    layer that does not learn, and gates, never; running statistics are put."""
    table: dict[str, Parameter] = {}
    for number, layer in enumerate(layers):
        i, o = layer.fan_in, layer.fan_out
        weight = _drawn(WEIGHT_INITS[layer.weight_init], i, o)
        moves: Moves = how if layer.trained else "never"
        table[f"W{number}"] = Parameter(
            (i, o), weight, f"weights {number}", moves, layer.weight_scale
        )
        if layer.bias_init is not None:
            bias = _drawn(BIAS_INITS[layer.bias_init], i, o)
            table[f"b{number}"] = Parameter((1, o), bias, f"biases {number}", moves)
        if layer.gate is not None:
            table[f"G{number}"] = Parameter(
                (i, o), weight, f"gates {number}", "never", layer.weight_scale
            )
        if layer.batch_norm:
            for kind, value in (LEARNED | STATISTICS).items():
                own = moves if kind in LEARNED else "put"
                name = f"{kind}{number}"
                table[name] = Parameter((1, o), _constant(value, o), name, own, exact=True)
    return table


def learning(layers: Sequence[Layer]) -> list[str]:
    """The names of a network's parameters that learn."""
    return [name for name, p in network_parameters(layers).items() if p.moves == "descent"]


def _drawn(
    init: Callable[[Generator, int, int], Matrix], i: int, o: int
) -> Callable[[Generator], Matrix]:
    return lambda rng: init(rng, i, o)


def _constant(value: float, o: int) -> Callable[[Generator], Matrix]:
    return lambda rng: np.full((1, o), value, np.float32)
