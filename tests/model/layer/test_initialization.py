"""Axes: I fan-in, O fan-out. Tolerances are 5 standard errors of the sample's own size."""

from math import pi, sqrt

import numpy as np
import pytest
import torch
from scipy import stats

from fabench.model.layer.initialization import BIAS_INITS, FEEDBACK_INITS, WEIGHT_INITS
from fabench.population.population import Row
from fabench.run.trainer import population_of

I, O = 300, 170  # noqa: E741 (the axes' letters)


def draw(init, i=I, o=O, seed=0):
    matrix = init(np.random.default_rng(seed), i, o)
    assert matrix.dtype == np.float32
    return matrix.astype(np.float64)


def assert_moments(x, mean, sd, kurtosis):
    """Of independent numbers: their mean and variance, within 5 standard errors."""
    n = x.size
    assert abs(x.mean() - mean) < 5 * sd / sqrt(n)
    variance = ((x - mean) ** 2).mean()
    assert abs(variance / sd**2 - 1) < 5 * sqrt((kurtosis - 1) / n)


def assert_uniform(x, low, high):
    """The extremes of n numbers are within about (high - low) / n of the bounds."""
    gap = 12 * (high - low) / x.size
    rounding = 1e-6 * max(abs(low), abs(high))
    assert low - rounding <= x.min() < low + gap
    assert high - gap < x.max() <= high + rounding
    assert_moments(x, (low + high) / 2, (high - low) / sqrt(12), 9 / 5)


def assert_normal(x, mean, sd):
    assert_moments(x, mean, sd, 3)
    z = (x - mean) / sd
    assert abs((z**4).mean() - 3) < 5 * sqrt(96 / x.size)  # not uniform, not cut


def shown(x):
    """A part of a test's id."""
    return "weights" if x is WEIGHT_INITS else "feedback" if x is FEEDBACK_INITS else None


UNIFORM = [
    (WEIGHT_INITS, "torch_uniform", -1 / sqrt(I), 1 / sqrt(I)),
    (WEIGHT_INITS, "unit_uniform", -1, 1),
    (WEIGHT_INITS, "xavier_uniform", -sqrt(6 / (I + O)), sqrt(6 / (I + O))),
    (FEEDBACK_INITS, "uniform", -1 / sqrt(I), 1 / sqrt(I)),
    (FEEDBACK_INITS, "standard_uniform", 0, 1),
    (FEEDBACK_INITS, "unit_uniform", -1, 1),
    (FEEDBACK_INITS, "xavier", -sqrt(6 / (I + O)), sqrt(6 / (I + O))),
]
NORMAL = [
    (WEIGHT_INITS, "he_normal", 0, sqrt(2 / I)),
    (WEIGHT_INITS, "lecun_normal", 0, sqrt(1 / I)),
    (WEIGHT_INITS, "gaussian_features", 0, sqrt(6 / (I + O))),
    (WEIGHT_INITS, "fourier_features", 0, 4 / sqrt(I)),
    (FEEDBACK_INITS, "gaussian", 1 / sqrt(I), 1 / sqrt(I)),
    (WEIGHT_INITS, "standard_gaussian", 0, 1),
    (FEEDBACK_INITS, "standard_gaussian", 0, 1),
]


@pytest.mark.parametrize(("table", "name", "low", "high"), UNIFORM, ids=shown)
def test_uniform_matrices(table, name, low, high):
    x = draw(table[name])
    assert x.shape == (I, O)
    assert_uniform(x, low, high)


@pytest.mark.parametrize(("table", "name", "mean", "sd"), NORMAL, ids=shown)
def test_normal_matrices(table, name, mean, sd):
    x = draw(table[name])
    assert x.shape == (I, O)
    assert_normal(x, mean, sd)


@pytest.mark.parametrize("table", [WEIGHT_INITS, FEEDBACK_INITS], ids=shown)
def test_truncated_normal(table):
    """Against SciPy's: the distribution function (Kolmogorov and Smirnov's distance, 1 in 10^5)."""
    x = draw(table["truncated_normal"])
    assert x.shape == (I, O)
    assert stats.kstest(x.ravel(), stats.truncnorm(-2, 2).cdf).pvalue > 1e-5
    assert 1.99 < np.abs(x).max() <= 2


@pytest.mark.parametrize("table", [WEIGHT_INITS, FEEDBACK_INITS], ids=shown)
def test_zeros(table):
    assert not draw(table["zeros"]).any()
    assert draw(table["zeros"]).shape == (I, O)


def test_every_matrix_is_tested():
    weights = {name for table, name, *_ in UNIFORM + NORMAL if table is WEIGHT_INITS}
    feedback = {name for table, name, *_ in UNIFORM + NORMAL if table is FEEDBACK_INITS}
    both = {"truncated_normal", "orthogonal", "zeros"}
    assert weights | both == WEIGHT_INITS.keys()
    assert feedback | both == FEEDBACK_INITS.keys()


@pytest.mark.parametrize("table", [WEIGHT_INITS, FEEDBACK_INITS], ids=shown)
@pytest.mark.parametrize(("i", "o"), [(7, 7), (9, 4), (4, 9), (6, 1)])
def test_orthogonal(table, i, o):
    x = draw(table["orthogonal"], i, o)
    assert x.shape == (i, o)
    gram = x.T @ x if i >= o else x @ x.T
    np.testing.assert_allclose(gram, np.eye(min(i, o)), atol=1e-6)


def test_orthogonal_is_haar():
    """Rotations by any matrix leave the distribution as it is: so the entries of a 2 x 2 one have
    mean 0, variance 1/2 and fourth moment 3/8 (a cosine's), on the diagonal too, where a QR
    decomposition without the signs is always negative."""
    n = 2000
    rng = np.random.default_rng(0)
    x = np.stack([FEEDBACK_INITS["orthogonal"](rng, 2, 2) for _ in range(n)]).astype(np.float64)
    assert (np.abs(x.mean(0)) < 5 * sqrt(1 / 2 / n)).all()
    assert (np.abs((x**4).mean(0) - 3 / 8) < 5 * sqrt((35 / 128 - 9 / 64) / n)).all()
    assert abs(np.linalg.det(x).mean()) < 5 / sqrt(n)  # reflections and rotations alike


BIASES = {"torch_uniform": (-1 / sqrt(I), 1 / sqrt(I)), "fourier_features": (0, 2 * pi)}


@pytest.mark.parametrize("name", BIASES)
def test_uniform_biases(name):
    x = draw(BIAS_INITS[name], I, 20_000)
    assert x.shape == (1, 20_000)
    assert_uniform(x, *BIASES[name])


def test_zero_biases():
    assert BIAS_INITS.keys() == {*BIASES, "zeros"}
    assert draw(BIAS_INITS["zeros"]).shape == (1, O)
    assert not draw(BIAS_INITS["zeros"]).any()


@pytest.mark.parametrize("table", [WEIGHT_INITS, FEEDBACK_INITS, BIAS_INITS])
def test_a_matrix_is_a_function_of_its_generator(table):
    for name, init in table.items():
        x = draw(init, 5, 4, seed=3)
        np.testing.assert_array_equal(draw(init, 5, 4, seed=3), x)
        if name != "zeros":
            assert not np.isclose(draw(init, 5, 4, seed=4), x).any()


# -- Feedback stands in for W^T --------------------------------------------------------------


def feedback(make_config, rule, **settings):
    config = make_config(learning_rule=rule, k=1, **settings)
    rows = [Row(seed, config.scalars()) for seed in (0, 1)]
    return population_of(config, rows, torch.device("cpu")).matrices("B")


@pytest.mark.parametrize("rule", ["dfa", "fa", "ifa"])
def test_uniform_feedback_has_the_output_weights_bound(make_config, rule):
    """One output: B [1, hidden] replaces W^T of W [hidden, 1] ~ U(±1/sqrt(hidden)), not U(±1)."""
    (B,) = feedback(make_config, rule, init_of_B="uniform", model__hidden=[400])
    assert B.shape == (2, 1, 400)
    assert_uniform(B.double().numpy(), -1 / 20, 1 / 20)


def test_the_scale_multiplies_feedback(make_config):
    for init in FEEDBACK_INITS:
        (B,) = feedback(make_config, "dfa", init_of_B=init)
        (half,) = feedback(make_config, "dfa", init_of_B=init, init_of_B__scale=0.5)
        assert torch.equal(half, B / 2)


@pytest.mark.parametrize("init", ["uniform", "gaussian", "xavier"])
def test_deep_feedback_is_scaled_by_the_units_that_it_reaches(make_config, init):
    """Hidden widths 900 and 100: fa's lower matrix is [100, 900], like W2^T of W2 [900, 100]; dfa's
    are [1, 900] and [1, 100]."""
    sizes = {
        "fa": [(100, 900), (1, 100)],
        "dfa": [(1, 900), (1, 100)],
        "ifa": [(1, 900)],
    }
    for rule, shapes in sizes.items():
        B = feedback(make_config, rule, init_of_B=init, model__hidden=[900, 100])
        assert [tuple(b.shape[1:]) for b in B] == shapes
        for b, (source, to) in zip(B, shapes, strict=True):
            x = b.double().numpy()
            if init == "uniform":
                assert_uniform(x, -1 / sqrt(to), 1 / sqrt(to))
            elif init == "xavier":
                bound = sqrt(6 / (source + to))
                assert_uniform(x, -bound, bound)
            else:
                assert_moments(x, 1 / sqrt(to), 1 / sqrt(to), 3)
