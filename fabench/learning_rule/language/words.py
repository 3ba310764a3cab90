"""The words of formulas: operands, and functions with what they give.

Axes: R rows, B batch. Values are matrices [R, a, b], of every row its own; where two meet, an axis
of length 1 is repeated. Operands, of a layer with n units, when the layer that reads it has m, and
the network C outputs:

    h_pre, h    what the layer's activation takes, and what it shows [B, n]
    D           dh/dh_pre [B, n]
    h_next_pre  the sum of the layer that reads h [B, m]
    b_next      the teaching signal of that layer [B, m]
    b_top       that of the output layer, the error [B, C]
    q, g        what backpropagation brings to h, and to h_pre [B, n]: with dense layers
                q = b_next @ t(W), g = q * D
    W           the weights from h to the next sum [n, m], of a convolution [C k^2, channels]
    R, S        fixed random matrices of W's shape: as feedback alignment's, and of 0 and 1
    R_top       fixed random matrices [C, n]: as direct feedback alignment's
    q_fa, g_fa  feedback alignment's signals: with dense layers q_fa = b_next @ t(R)
    q_dfa, g_dfa  direct feedback alignment's: q_dfa = b_top @ R_top

Division by 0 gives 0: a unit that is silent, or a signal that is 0, has no direction.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.linalg import vector_norm

OPERANDS = (
    "W", "R", "S", "R_top", "h_pre", "h", "h_next_pre", "b_top", "b_next", "D", "q", "g", "q_fa",
    "g_fa", "q_dfa", "g_dfa",
)  # fmt: skip


def quotient(x: Tensor, y: Tensor) -> Tensor:
    """x / y, and 0 where y is 0."""
    return x / y.where(y != 0, torch.inf)


UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "-": torch.neg,
    "abs": torch.abs,
    "sign": torch.sign,
    "step": lambda x: (x > 0).to(x.dtype),
    "relu": torch.relu,
    "square": torch.square,
    "cube": lambda x: x * x * x,
    "root": lambda x: x.abs().sqrt(),
    "signed_square": lambda x: x * x.abs(),
    "signed_root": lambda x: x.sign() * x.abs().sqrt(),
}
"""Of each element: step is 1 where it is positive, root the root of its size."""

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": quotient,
    "min": torch.minimum,
    "max": torch.maximum,
}
"""Of each two elements."""

_ORDERS = {"0": 0.0, "1": 1.0, "2": 2.0, "_inf": torch.inf, "_neg_inf": -torch.inf}
_AXES = {"norm": (1, 2), "col": (1,), "row": (2,)}


def _vector_norm(axes: tuple[int, ...], order: float) -> Callable[[Tensor], Tensor]:
    return lambda x: vector_norm(x, order, axes, keepdim=True)


NORMS: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    **{
        f"{kind}{suffix}": (axes, _vector_norm(axes, order))
        for kind, axes in _AXES.items()
        for suffix, order in _ORDERS.items()
    },
    "fro": ((1, 2), _vector_norm((1, 2), 2.0)),
    "matrix1": ((1, 2), lambda x: x.abs().sum(1, keepdim=True).amax(2, keepdim=True)),
    "matrix_inf": ((1, 2), lambda x: x.abs().sum(2, keepdim=True).amax(1, keepdim=True)),
    "matrix_neg_inf": ((1, 2), lambda x: x.abs().sum(2, keepdim=True).amin(1, keepdim=True)),
}
"""Norms, with the axes that they leave at length 1: norm0 to norm_neg_inf of all elements as one
vector (of order 0 their number that is not 0, of order -inf the least size), col0 to col_neg_inf of
every column, row0 to row_neg_inf of every row; then matrix norms."""

PARAMETRIC = {"clip": 1e30, "drop": 0.999, "add_noise": 1e30, "multiply_noise": 1e30}
"""Functions of x and a number from 0 on, and the largest that it may be: clip(x, c) to [-c, c];
drop(x, p): dropout with probability p, what stays divided by 1 - p; add_noise(x, s) is x + s N,
multiply_noise(x, s) is x * (1 + s N), with N ~ N(0, 1) of x's shape, drawn in every step."""

DRAWING = frozenset(PARAMETRIC) - {"clip"}

RUNNING = ("running_mean", "running_std", "bn")
"""Of each element's running average over steps, and over the batch, if x has one; bn(x) is
(x - running_mean(x)) / running_std(x)."""

CALLS: dict[str, int] = {
    **{name: 1 for name in (*UNARY, *NORMS, *RUNNING, "t") if name.isidentifier()},
    **{name: 2 for name in (*BINARY, *PARAMETRIC) if name.isidentifier()},
}
"""The functions that are written as calls, and how many arguments they take; t transposes."""

SIGNS = ("+", "-", "*", "/", "@")
"""Those that stand between two terms; @ is the product of two matrices."""
