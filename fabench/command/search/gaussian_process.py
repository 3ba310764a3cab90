"""``search=gaussian_process``: Bayesian optimization, by a Gaussian process of the scores.

A score is y(x) = f(x) + noise, where x are a point's coordinates in [0, 1], and f, less its mean,
is a Gaussian process:

    k(x, x') = c M(|x - x'| / l),  M: Matern's covariance with nu = 5/2
    mu(x) = k(x, X) (K + s I)^-1 y,  sigma^2(x) = k(x, x) - k(x, X) (K + s I)^-1 k(X, x)
    UCB(x) = mu + beta sigma                                          (2.16)
    EI(x) = E max(f - f', 0) = (mu - f') Phi(z) + sigma phi(z)        (2.15)
    PI(x) = P(f > f') = Phi(z),  z = (mu - f') / sigma                (2.14)

X [n, d]: the points so far, y [n]: their scores, K = k(X, X); c, l, s: amplitude, length and
variance of the noise, which maximise the scores' likelihood; f': the best of y; Phi, phi: the
normal distribution and its density. The next point maximises one of the three.

The first ``random_points`` are drawn at random, then of each batch, which trains as one population,
the last ``random_beside``. The others are chosen one after the other; those of the batch that are
chosen count with mu as their score ("Kriging believer"). A point that diverged scores as the
worst that did not.

Reference: R. H. Eyono, "Learning to backpropagate", 2020, sections 2.6 and 6.1 (beta = 0.1, 20
random points, then 100, others drawn beside them); D. Ginsbourger, R. Le Riche, L. Carraro,
"Kriging is well-suited to parallelize optimization", 2010 (the believer).

Differences from the paper:
1. It writes (2.13) to (2.15) for a minimum; here a score is as high as can be.
2. Covariance, its fit and the search for an acquisition's maximum are not said there: here the best
   of CANDIDATES random points and of NEIGHBOURS near the best point so far.
3. How many are drawn beside is not said: ``random_beside``.
"""

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic.dataclasses import dataclass
from scipy.special import ndtr
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from fabench.command.search.base.method import Method, PointScore
from fabench.command.search.base.space import Array, Space, SpaceSearch
from fabench.command.search.base.subject import Point, Subject
from fabench.command.search.random import drawn
from fabench.randomness import generator
from fabench.run.progress import console
from fabench.schema import STRICT, Count, CountFrom0, NonNegative, UserError

CANDIDATES, NEIGHBOURS = 1000, 300

RESTARTS = 2
"""Of the search for the likeliest c, l and s, at random places."""

Acquisition = Literal[
    "upper_confidence_bound", "expected_improvement", "probability_of_improvement"
]


@dataclass(frozen=True, config=STRICT)
class GaussianProcess(SpaceSearch):
    """Random points first, then those that a Gaussian process of the scores promises most of."""

    random_points: Count
    random_beside: CountFrom0
    acquisition: Acquisition
    beta: NonNegative
    seed: CountFrom0

    def __post_init__(self) -> None:
        if self.random_beside >= self.batch:
            raise UserError(
                f"search.random_beside={self.random_beside}: of a batch of {self.batch} points "
                "some are not drawn."
            )

    def start(self, subject: Subject, folder: Path) -> AbstractContextManager[Method]:
        return nullcontext(BayesianOptimization(self, self.dimensions(subject)))

    def is_random(self, number: int) -> bool:
        """Whether the point of this number, from 0 on, is drawn at random."""
        in_batch = (number - self.random_points) % self.batch
        return number < self.random_points or in_batch >= self.batch - self.random_beside


class BayesianOptimization:
    """The points of a search: functions of its seed, its space and the scores so far."""

    def __init__(self, search: GaussianProcess, space: Space) -> None:
        self.search, self.space = search, space
        self.asked: list[Point] = []
        self.scores: list[PointScore] = []

    def ask(self) -> list[Point]:
        first, search = len(self.asked), self.search
        size = search.batch if first else search.random_points
        end = min(first + size, search.trials)
        if first < end:
            console.print(f"Trials {first + 1} to {end} of {search.trials}")
        surrogate = None
        for number in range(first, end):
            if search.is_random(number):
                self.asked.append(drawn(self.space, search.seed, number))
                continue
            surrogate = surrogate or self._surrogate()
            candidates = self._candidates(number)
            at = self.space.coordinates(candidates)
            mean, deviation = surrogate.posterior(at)
            best = np.argmax(acquired(search, mean, deviation, float(surrogate.y.max())))
            self.asked.append(candidates[best])
            surrogate = surrogate.believing(at[best], mean[best])
        return self.asked[first:]

    def tell(self, scores: Sequence[PointScore]) -> None:
        self.scores = list(scores)

    def _surrogate(self) -> "Surrogate":
        means = np.array([score.mean for score in self.scores])
        finite = means[np.isfinite(means)]
        y = np.maximum(means, finite.min(initial=np.inf)) if len(finite) else np.zeros(len(means))
        return Surrogate.fitted(
            self.space.coordinates([score.point for score in self.scores]), y, self.search.seed
        )

    def _candidates(self, number: int) -> list[Point]:
        """Points that are not yet tried, at random and near the best (any, if all are tried)."""
        random = generator(self.search.seed, "search candidates", number)
        best = max(self.scores, key=lambda score: score.mean).point
        points = [self.space.draw(random) for _ in range(CANDIDATES)]
        points += [self.space.near(best, random) for _ in range(NEIGHBOURS)]
        tried = {tuple(point.values()) for point in self.asked}
        return [point for point in points if tuple(point.values()) not in tried] or points


@plain_dataclass(frozen=True)
class Surrogate:
    """A Gaussian process of scores y [n] at X [n, d]: k, the noise's variance, and f's mean."""

    kernel: Any
    noise: float
    level: float
    X: Array
    y: Array

    @classmethod
    def fitted(cls, X: Array, y: Array, seed: int) -> "Surrogate":
        """With the likeliest amplitude, length and noise."""
        scale = float(y.std()) or 1.0
        kernel = ConstantKernel(1.0, (0.1, 100)) * Matern(0.5, (0.05, 10), nu=2.5)
        noisy = kernel + WhiteKernel(0.01, (1e-6, 1))
        process = GaussianProcessRegressor(
            noisy, n_restarts_optimizer=RESTARTS, random_state=seed, normalize_y=False
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a bound is as good as any
            process.fit(X, (y - y.mean()) / scale)
        found = process.kernel_
        amplitude = ConstantKernel(found.k1.k1.constant_value * scale**2)
        noise = found.k2.noise_level * scale**2
        return cls(amplitude * found.k1.k2, noise, float(y.mean()), X, y)

    def posterior(self, at: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of f [m] at places [m, d]."""
        process = GaussianProcessRegressor(self.kernel, alpha=self.noise, optimizer=None)
        mean, deviation = process.fit(self.X, self.y - self.level).predict(at, return_std=True)
        return mean + self.level, deviation

    def believing(self, x: Array, mean: float) -> "Surrogate":
        """As if the score at x [d] were known: the mean."""
        return replace(self, X=np.vstack([self.X, x]), y=np.append(self.y, mean))


def acquired(search: GaussianProcess, mean: Array, deviation: Array, best: float) -> Array:
    """The acquisition function [m], of f's mean and deviation [m] and the best score so far."""
    if search.acquisition == "upper_confidence_bound":
        return mean + search.beta * deviation  # (2.16)
    better, spread = mean - best, np.maximum(deviation, 1e-12)
    z = better / spread
    if search.acquisition == "probability_of_improvement":
        return np.asarray(ndtr(z))  # (2.14)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.asarray(better * ndtr(z) + spread * density)  # (2.15)
