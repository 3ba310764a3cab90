"""Spaces: what an entry means, what is drawn, where points lie. Oracles: formulas, counting."""

import numpy as np
import pytest
from scipy import stats

from fabench.command.search.base.space import Bits, Bounds, Choices, Space, dimension
from fabench.randomness import generator
from fabench.schema import UserError

SPACE = Space(
    {
        "optimizer.lr": Bounds(0.001, 1.0, log=True),
        "learning_rule.w1": Bounds(-1.0, 3.0, log=False),
        "learning_rule.mode": Bits(1, 15),
        "model.activation": Choices(("relu", "tanh", "sigmoid")),
    }
)


@pytest.mark.parametrize(
    "entry, expected",
    [
        ([0.001, 1], Bounds(0.001, 1.0, log=True)),
        ([-1, 1], Bounds(-1.0, 1.0, log=False)),
        ([0, 1], Bounds(0.0, 1.0, log=False)),
        ({"linear": [0.5, 1]}, Bounds(0.5, 1.0, log=False)),
        ({"bits": [0, 15]}, Bits(0, 15)),
        ({"choices": ["relu", 1, True]}, Choices(("relu", 1, True))),
    ],
)
def test_an_entry_of_search_space(entry, expected):
    assert dimension("search.space.x", entry) == expected


@pytest.mark.parametrize(
    "entry, sentence",
    [
        ([1, 2, 3], "search.space.x=[1,2,3]: bounds are two numbers."),
        ([1, True], "search.space.x=[1,True]: bounds are two numbers."),
        ([float("nan"), 1], "search.space.x=[nan,1]: the lower bound is first."),
        ([1, float("inf")], "search.space.x=[1,inf]: bounds are at most 1e+30, or float32 over"),
        ({"linear": [2, 1]}, "search.space.x={linear:[2,1]}: the lower bound is first."),
        ({"bits": [-1, 3]}, "search.space.x={bits:[-1,3]}: bits are whole numbers from 0."),
        ({"choices": [1, 1]}, "search.space.x={choices:[1,1]}: choices are several"),
        ({"choices": [[1], [2]]}, "search.space.x={choices:[[1],[2]]}: choices are several"),
        ({"linear": [0, 1], "bits": [0, 1]}, "search.space.x={linear:[0,1],bits:[0,1]}: write"),
        ("relu", "search.space.x=relu: write [low,high], "),
    ],
)
def test_a_wrong_entry_is_said(entry, sentence):
    with pytest.raises(UserError) as error:
        dimension("search.space.x", entry)
    assert str(error.value).startswith(sentence)


def test_values_are_drawn_alike():
    points = [SPACE.draw(generator(0, "search", number)) for number in range(2000)]
    lr, w1, mode = (np.array([point[key] for point in points]) for key in list(SPACE)[:3])
    assert stats.kstest(np.log10(lr) / 3 + 1, "uniform").pvalue > 0.01
    assert stats.kstest((w1 + 1) / 4, "uniform").pvalue > 0.01
    assert stats.chisquare(np.bincount(mode.astype(int), minlength=16)[1:]).pvalue > 0.01
    names = [point["model.activation"] for point in points]
    assert (
        stats.chisquare([names.count(name) for name in ("relu", "tanh", "sigmoid")]).pvalue > 0.01
    )
    assert abs(stats.spearmanr(lr, w1).statistic) < 0.1
    assert all(value == float(f"{value:.3g}") for value in [*lr, *w1])


@pytest.mark.parametrize(
    "dimension, inside, outside",
    [
        (Bounds(0.5, 2, log=True), [0.5, 1.0, 2], [0.4, 2.1, -1.0]),
        (Bits(1, 15), [1, 15.0], [0.0, 16]),
        (Choices(("relu", "tanh")), ["relu", "tanh"], ["sigmoid"]),
    ],
)
def test_what_a_dimension_holds(dimension, inside, outside):
    assert all(map(dimension.holds, inside))
    assert not any(map(dimension.holds, outside))


def test_coordinates():
    points = [
        {"optimizer.lr": 0.001, "learning_rule.w1": 0, "learning_rule.mode": 6.0,
         "model.activation": "tanh"},
        {"optimizer.lr": 0.1, "learning_rule.w1": 3, "learning_rule.mode": 15.0,
         "model.activation": "relu"},
    ]  # fmt: skip
    expected = [[0, 0.25, 0, 1, 1, 0, 0, 1, 0], [2 / 3, 1, 1, 1, 1, 1, 1, 0, 0]]
    np.testing.assert_allclose(SPACE.coordinates(points), expected, atol=1e-12)


def test_neighbours_are_near_and_within_bounds():
    point = {"optimizer.lr": 0.9, "learning_rule.w1": 0.5, "learning_rule.mode": 6.0,
             "model.activation": "tanh"}  # fmt: skip
    near = [SPACE.near(point, generator(1, "near", number)) for number in range(500)]
    X, x = SPACE.coordinates(near)[:, :2], SPACE.coordinates([point])[0, :2]
    assert (X >= 0).all() and (X <= 1).all()
    assert np.abs(X - x).max() < 0.5  # five standard deviations
    moved = (x != X).mean(axis=0)
    assert (np.abs(moved - 0.5) < 0.1).all()
    assert {point["learning_rule.mode"] for point in near} == set(map(float, range(1, 16)))
