"""What rules share that try parameters out: many individuals a row, computed as one program.

Axes: R rows, n individuals, B batch, I fan-in, O fan-out, C outputs.
"""

from collections.abc import Mapping

from torch import Tensor

from fabench.learning_rule.base.part import Part
from fabench.model.layer.parameter import network_parameters


def losses(part: Part, x: Tensor, y: Tensor, theta: Mapping[str, Tensor]) -> Tensor:
    """Each individual's mean loss on a batch [R, n], normalised layers being in training.

    ``theta``: the parameters in which individuals differ [R, n, I, O], by name; the others are the
    row's own.
    """
    n = next(iter(theta.values())).shape[1]
    own = {name: _shared(part[name], n) for name in network_parameters(part.layers)}
    every = own | {name: value.flatten(0, 1) for name, value in theta.items()}
    output = part.forward(_shared(x, n), training=True, changed=every).output
    return part.loss(output, _shared(y, n)).mean(1).unflatten(0, (-1, n))


def scaled(number: float | Tensor, t: Tensor) -> Tensor:
    """A row's number, a float or [R, 1, 1], times its individuals' t [R, n, I, O]."""
    return number[..., None] * t if isinstance(number, Tensor) else number * t


def _shared(t: Tensor, n: int) -> Tensor:
    """What each of n individuals of a row has [R n, ...] of what the row has [R, ...]."""
    return t[:, None].expand(-1, n, *t.shape[1:]).flatten(0, 1)
