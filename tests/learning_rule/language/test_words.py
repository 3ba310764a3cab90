"""What words give. Oracle: NumPy, element by element, in float64.

Axes: R rows, and of their matrices rows and columns.
"""

import numpy as np
import pytest
import torch

from fabench.learning_rule.language.words import BINARY, NORMS, UNARY

X = np.random.default_rng(0).normal(size=(2, 4, 3))
X[0, 1, 2] = X[1, 3] = 0
Y = np.random.default_rng(1).normal(size=(2, 4, 3))

ELEMENTS = {
    "-": lambda x: 0 - x,
    "abs": lambda x: x if x > 0 else -x,
    "sign": lambda x: (x > 0) - (x < 0),
    "step": lambda x: 1 if x > 0 else 0,
    "relu": lambda x: x if x > 0 else 0,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "root": lambda x: abs(x) ** 0.5,
    "signed_square": lambda x: -(x**2) if x < 0 else x**2,
    "signed_root": lambda x: -((-x) ** 0.5) if x < 0 else x**0.5,
}
PAIRS = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y if y else 0,
    "min": lambda x, y: x if x < y else y,
    "max": lambda x, y: y if x < y else x,
}
SIZES = {
    "0": lambda v: sum(1 for x in v if x != 0),
    "1": lambda v: sum(abs(x) for x in v),
    "2": lambda v: sum(x * x for x in v) ** 0.5,
    "_inf": lambda v: max(abs(x) for x in v),
    "_neg_inf": lambda v: min(abs(x) for x in v),
}
MATRICES = {
    "fro": lambda m: sum(x * x for row in m for x in row) ** 0.5,
    "matrix1": lambda m: max(sum(abs(row[j]) for row in m) for j in range(len(m[0]))),
    "matrix_inf": lambda m: max(sum(abs(x) for x in row) for row in m),
    "matrix_neg_inf": lambda m: min(sum(abs(x) for x in row) for row in m),
}


def assert_is(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


def test_every_word_has_its_oracle():
    assert UNARY.keys() == ELEMENTS.keys()
    assert BINARY.keys() == PAIRS.keys()
    of_vectors = {f"{kind}{order}" for kind in ("norm", "col", "row") for order in SIZES}
    assert NORMS.keys() == of_vectors | MATRICES.keys()


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    expected = [[[ELEMENTS[name](x) for x in row] for row in m] for m in X.tolist()]
    assert_is(UNARY[name](torch.from_numpy(X)), expected)


@pytest.mark.parametrize("name", BINARY)
def test_binary(name):
    rows = zip(Y.reshape(-1), X.reshape(-1), strict=True)
    expected = np.reshape([PAIRS[name](y, x) for y, x in rows], X.shape)
    assert_is(BINARY[name](torch.from_numpy(Y), torch.from_numpy(X)), expected)


@pytest.mark.parametrize("order", SIZES)
def test_vector_norms(order):
    x, size = torch.from_numpy(X), SIZES[order]
    assert_is(NORMS[f"norm{order}"][1](x), [[[size(m.reshape(-1))]] for m in X])
    assert_is(NORMS[f"col{order}"][1](x), [[[size(c) for c in m.T]] for m in X])
    assert_is(NORMS[f"row{order}"][1](x), [[[size(row)] for row in m] for m in X])


@pytest.mark.parametrize("name", MATRICES)
def test_matrix_norms(name):
    assert_is(NORMS[name][1](torch.from_numpy(X)), [[[MATRICES[name](m)]] for m in X])


def test_norms_say_which_axes_they_leave():
    for axes, norm in NORMS.values():
        shape = [1 if axis in axes else length for axis, length in enumerate(X.shape)]
        assert list(norm(torch.from_numpy(X)).shape) == shape
