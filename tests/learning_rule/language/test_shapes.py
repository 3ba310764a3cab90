"""Shapes before anything is computed. Oracle: NumPy's, of arrays of these shapes."""

import numpy as np
import pytest

from fabench.learning_rule.language.shapes import (
    BATCH,
    Misfit,
    averaged,
    misfit,
    operand_shapes,
    shape,
)
from fabench.learning_rule.language.tree import parse
from fabench.learning_rule.language.words import OPERANDS
from fabench.model.layer.network import Layer
from fabench.model.wide_resnet import WideResnet

NET = (Layer(7, 5), Layer(5, 4), Layer(4, 2))


def test_operands_have_the_shapes_of_their_layer():
    shapes = operand_shapes(NET, 0)
    assert shapes.keys() == set(OPERANDS)
    assert {name for name, own in shapes.items() if own == (BATCH, 5)} == {
        "h_pre", "h", "D", "q", "g", "q_fa", "g_fa", "q_dfa", "g_dfa",
    }  # fmt: skip
    assert {name for name, own in shapes.items() if own == (BATCH, 4)} == {"h_next_pre", "b_next"}
    assert {name for name, own in shapes.items() if own == (5, 4)} == {"W", "R", "S"}
    assert (shapes["b_top"], shapes["R_top"]) == ((BATCH, 2), (2, 5))
    assert operand_shapes(NET, 1)["b_next"] == operand_shapes(NET, 1)["b_top"] == (BATCH, 2)


FORMULAS = {
    "2": lambda g, W, b: np.ones((1, 1)),
    "-g": lambda g, W, b: g,
    "abs(W)": lambda g, W, b: W,
    "t(W)": lambda g, W, b: W.T,
    "b_next @ t(W)": lambda g, W, b: b @ W.T,
    "g @ W": lambda g, W, b: g @ W,
    "g @ t(g)": lambda g, W, b: g @ g.T,
    "t(g) @ g": lambda g, W, b: g.T @ g,
    "g * 2 + 1": lambda g, W, b: g * 2 + 1,
    "g / fro(g)": lambda g, W, b: g / g.max(keepdims=True),
    "norm0(W)": lambda g, W, b: W.max(keepdims=True),
    "g - row2(b_next)": lambda g, W, b: g - b.max(1, keepdims=True),
    "col_inf(g)": lambda g, W, b: g.max(0, keepdims=True),
    "t(row1(W)) * g": lambda g, W, b: W.max(1, keepdims=True).T * g,
    "max(row1(g), col1(W))": lambda g, W, b: np.maximum(
        g.max(1, keepdims=True), W.max(0, keepdims=True)
    ),
    "running_mean(g)": lambda g, W, b: g.mean(0, keepdims=True),
    "running_std(t(g))": lambda g, W, b: g.T.mean(1, keepdims=True),
    "running_mean(W)": lambda g, W, b: W,
    "bn(g)": lambda g, W, b: g,
    "drop(clip(add_noise(g, 1), 2), 0.5)": lambda g, W, b: g,
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_shapes_are_numpys(formula):
    n = {BATCH: 3, 5: 5, 4: 4, 2: 2, 1: 1}
    arrays = [np.ones([n[length] for length in operand_shapes(NET, 0)[name]])
              for name in ("g", "W", "b_next")]  # fmt: skip
    found = shape(parse(formula), operand_shapes(NET, 0))
    assert tuple(n[length] for length in found) == FORMULAS[formula](*arrays).shape


def test_averages_have_no_examples():
    assert averaged((BATCH, 5)) == (1, 5)
    assert averaged((5, BATCH)) == (5, 1)
    assert averaged((5, 4)) == (5, 4)


@pytest.mark.parametrize("formula", ["g", "g / fro(g)", "b_next @ t(W) * D", "b_top @ R_top"])
def test_what_fits(formula):
    assert misfit(parse(formula), NET) is None


MISFITS = {
    "h + b_next": "h + b_next does not fit, [batch, 5] and [batch, 4], in layer 1",
    "2 * abs(W - g)": "W - g does not fit, [5, 4] and [batch, 5], in layer 1",
    "h @ b_next": "h @ b_next does not fit, [batch, 5] and [batch, 4], in layer 1",
    "g @ g": "g @ g does not fit, [batch, 5] and [batch, 5], in layer 1",
    "h @ W": "h @ W is [batch, 4], not [batch, 5], in layer 1",
    "fro(g)": "fro(g) is [1, 1], not [batch, 5], in layer 1",
    "running_mean(g)": "running_mean(g) is [1, 5], not [batch, 5], in layer 1",
    "3": "3 is [1, 1], not [batch, 5], in layer 1",
}


@pytest.mark.parametrize("formula", MISFITS)
def test_what_does_not_fit_is_told(formula):
    assert misfit(parse(formula), NET) == MISFITS[formula]


def test_as_many_examples_as_units_are_not_units():
    with pytest.raises(Misfit):
        shape(parse("g @ W"), operand_shapes((Layer(7, 5), Layer(4, 3)), 0) | {"W": (BATCH, 5)})


def test_every_layer_counts():
    wide = (Layer(7, 5), Layer(5, 5), Layer(5, 2))
    told = "h + b_next does not fit, [batch, 5] and [batch, 2], in layer 2"
    assert misfit(parse("h + b_next"), wide) == told


def test_in_a_residual_network_the_first_reader_counts_and_layers_that_none_reads_do_not():
    settings = {"hidden": [], "activation": "relu", "bias": True, "weight_init": "he_normal",
                "weight_scale": 1.0, "input_dropout": 0.0, "hidden_dropout": 0.0}  # fmt: skip
    net = WideResnet(name="wide_resnet", **settings, depth=10, width=1).layers((2, 8, 8), 1, 10)
    assert operand_shapes(net, 2)["W"] == (16 * 9, 32)
    assert misfit(parse("g / norm2(g)"), net) is None
    assert "does not fit" in misfit(parse("b_next @ t(W) * D"), net)
