"""Bayesian optimization: the posterior, what is acquired, which points come when.

Oracles: the normal equations in NumPy with Matern's formula written out, Monte Carlo, a function
with a known maximum, a search that was not interrupted.
"""

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from fabench.command.search.base.method import PointScore
from fabench.command.search.base.space import Bits, Bounds, Space
from fabench.command.search.gaussian_process import (
    BayesianOptimization,
    GaussianProcess,
    Surrogate,
    acquired,
)
from fabench.run.statistics import summarize
from fabench.schema import UserError

SPACE = Space(
    {
        "w": Bounds(-1.0, 1.0, log=False),
        "lr": Bounds(0.001, 10.0, log=True),
        "mode": Bits(0, 3),
    }
)
X = np.array([[0.1, 0.2], [0.4, 0.9], [0.8, 0.3], [0.5, 0.5]])
Y = np.array([0.3, 0.7, 0.2, 0.9])
AT = np.array([[0.1, 0.2], [0.6, 0.6], [1.0, 0.0]])
AMPLITUDE, LENGTH, NOISE = 0.5, 0.4, 0.03


def searching(**settings):
    defaults = {
        "name": "gaussian_process", "space": None, "trials": 18, "batch": 4, "random_points": 6,
        "random_beside": 1, "acquisition": "upper_confidence_bound", "beta": 0.1, "seed": 0,
    }  # fmt: skip
    return GaussianProcess(**{**defaults, **settings})


def height(point):
    """At most 1, at w = 0.3, lr = 0.1, mode = 2."""
    far = (point["w"] - 0.3) ** 2 + (np.log10(point["lr"]) + 1) ** 2 / 8
    return 1 - far - 0.3 * (point["mode"] != 2)


def search(stop=None, height=height, **settings):
    """The batches that are asked for, up to the one with number ``stop``, which is not told."""
    method, batches, scores = BayesianOptimization(searching(**settings), SPACE), [], []
    while points := method.ask():
        batches.append(points)
        if len(batches) == stop:
            break
        scores += [PointScore(p, summarize([height(p)]), int(p["lr"] > 5)) for p in points]
        method.tell(scores)
    return batches


def covariance(a, b):
    r = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1)) * np.sqrt(5) / LENGTH
    return AMPLITUDE * (1 + r + r**2 / 3) * np.exp(-r)


@pytest.fixture(scope="module")
def surrogate():
    kernel = ConstantKernel(AMPLITUDE) * Matern(LENGTH, nu=2.5)
    return Surrogate(kernel, NOISE, 0.5, X, Y)


def test_the_posterior_is_that_of_the_normal_equations(surrogate):
    mean, deviation = surrogate.posterior(AT)
    K, k = covariance(X, X) + NOISE * np.eye(4), covariance(AT, X)
    np.testing.assert_allclose(mean, 0.5 + k @ np.linalg.solve(K, Y - 0.5), rtol=1e-6)
    variance = AMPLITUDE - np.einsum("ij,ji->i", k, np.linalg.solve(K, k.T))
    np.testing.assert_allclose(deviation, np.sqrt(variance), rtol=1e-5)


def test_a_believed_score_changes_no_mean_and_makes_sure(surrogate):
    mean, deviation = surrogate.posterior(AT)
    again, surer = surrogate.believing(AT[1], mean[1]).posterior(AT)
    np.testing.assert_allclose(again, mean, rtol=1e-6)
    assert (surer < deviation).all() and surer[1] < 0.7 * deviation[1]


def test_the_fit_finds_length_amplitude_and_noise_of_a_process_that_is_known():
    random = np.random.default_rng(0)
    places = random.uniform(size=(200, 2))
    f = np.linalg.cholesky(covariance(places, places) + 1e-9 * np.eye(200)) @ random.normal(
        size=200
    )
    y = 7 + f + random.normal(size=200) * np.sqrt(NOISE)
    found = Surrogate.fitted(places, y, seed=0)
    assert found.noise == pytest.approx(NOISE, rel=0.3)
    assert found.kernel.k2.length_scale == pytest.approx(LENGTH, rel=0.4)
    assert found.level == pytest.approx(y.mean())
    mean, _ = found.posterior(places)
    assert np.sqrt(((mean - 7 - f) ** 2).mean()) < 0.6 * np.sqrt(NOISE)


@pytest.mark.parametrize(
    "name, of_samples",
    [
        ("expected_improvement", lambda f: np.maximum(f - 0.6, 0).mean(0)),
        ("probability_of_improvement", lambda f: (f > 0.6).mean(0)),
    ],
)
def test_improvement_is_that_of_samples(name, of_samples):
    mean, deviation = np.array([0.2, 0.6, 0.9]), np.array([0.3, 0.1, 0.2])
    samples = np.random.default_rng(0).normal(mean, deviation, size=(400_000, 3))
    found = acquired(searching(acquisition=name), mean, deviation, 0.6)
    np.testing.assert_allclose(found, of_samples(samples), atol=2e-3)


def test_the_upper_confidence_bound():
    found = acquired(searching(beta=2.0), np.array([0.2, 0.6]), np.array([0.3, 0.0]), 0.6)
    np.testing.assert_allclose(found, [0.8, 0.6])


def test_random_points_are_first_and_beside():
    batches = search()
    assert [len(batch) for batch in batches] == [6, 4, 4, 4]
    blind = search(height=lambda point: 0.0)
    for with_scores, without in zip(batches, blind, strict=True):
        assert with_scores[-1] == without[-1]  # drawn
        assert (with_scores[0] == without[0]) == (with_scores is batches[0])  # chosen


def test_no_point_is_tried_twice():
    points = [tuple(point.values()) for batch in search() for point in batch]
    assert len(set(points)) == len(points)


@pytest.mark.parametrize("name", ["upper_confidence_bound", "expected_improvement"])
def test_the_maximum_is_found_better_than_by_chance(name):
    def best(**settings):
        return max(height(p) for batch in search(**settings) for p in batch)

    assert best(acquisition=name, trials=26) > 0.98 > best(trials=26, random_points=26)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_killed_search_asks_for_the_same_points(stop):
    whole = search()
    assert search(stop=stop) == whole[:stop]
    assert [p for batch in search(trials=12) for p in batch] == [
        p for batch in whole for p in batch
    ][:12]


def test_where_all_diverge_it_goes_on():
    with_none = search(height=lambda point: np.nan, trials=10)
    assert len(with_none) == 2


def test_a_batch_that_is_all_drawn_is_refused():
    with pytest.raises(UserError, match=r"search.random_beside=4: of a batch of 4 points some"):
        searching(random_beside=4)
