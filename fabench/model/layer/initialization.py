"""Distributions of initial weights W and of feedback matrices B.

Axes: I fan-in, O fan-out. Every function draws a float32 matrix of the shape of a forward weight,
[I, O]; a feedback matrix that stands in for W^T is drawn as W is and transposed, so that "uniform"
means for B what it means for the weights that it replaces.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from fabench.schema import STRICT, Rate, UserError, nearest

Matrix = NDArray[np.float32]
Init = Callable[[Generator, int, int], Matrix]


def uniform(rng: Generator, i: int, o: int, bound: float | None = None) -> Matrix:
    """U(±bound), by default U(±1/sqrt(fan_in)), PyTorch's default for linear layers."""
    bound = 1 / sqrt(i) if bound is None else bound
    return (rng.random((i, o), dtype=np.float32) * 2 - 1) * np.float32(bound)


def unit_uniform(rng: Generator, i: int, o: int) -> Matrix:
    """U(±1), whatever the matrix's size."""
    return uniform(rng, i, o, 1)


def normal(rng: Generator, i: int, o: int, mean: float = 0.0, sd: float = 1.0) -> Matrix:
    """N(mean, sd^2)."""
    return rng.standard_normal((i, o), dtype=np.float32) * np.float32(sd) + np.float32(mean)


def truncated_normal(rng: Generator, i: int, o: int) -> Matrix:
    """N(0, 1), drawn again where it lies beyond ±2: TensorFlow's truncated normal.

    By the inverse of the distribution function. What is left has the standard deviation 0.88.
    """
    from scipy.special import ndtr, ndtri  # here, for it costs a tenth of torch

    low = ndtr(-2)
    return ndtri(low + (1 - 2 * low) * rng.random((i, o))).astype(np.float32)


def orthogonal(rng: Generator, i: int, o: int) -> Matrix:
    """Uniform (Haar) over matrices with orthonormal rows or columns, whichever are fewer.

    Saxe, McClelland, Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks", 2014, arXiv:1312.6120.
    """
    q, r = np.linalg.qr(rng.standard_normal((max(i, o), min(i, o))))
    q = q * np.sign(np.diag(r))  # without the signs the distribution is not uniform
    return np.ascontiguousarray(q if i >= o else q.T, dtype=np.float32)


def zeros(rng: Generator, i: int, o: int) -> Matrix:
    """0."""
    return np.zeros((i, o), np.float32)


WEIGHT_INITS: dict[str, Init] = {
    "torch_uniform": uniform,
    # Glorot & Bengio 2010, equation 16; of a convolution o is without its kernel, which i has
    "xavier_uniform": lambda rng, i, o: uniform(rng, i, o, sqrt(6 / (i + o))),
    # He et al. 2015, arXiv:1502.01852, equation 10
    "he_normal": lambda rng, i, o: normal(rng, i, o, sd=sqrt(2 / i)),
    # LeCun et al. 1998, "Efficient BackProp", section 4.6
    "lecun_normal": lambda rng, i, o: normal(rng, i, o, sd=sqrt(1 / i)),
    "truncated_normal": truncated_normal,
    "standard_gaussian": normal,
    "unit_uniform": unit_uniform,
    "orthogonal": orthogonal,
    "zeros": zeros,
    # What the lazy rules ask for: see learning_rule/gaussian_features.py, fourier_features.py
    "gaussian_features": lambda rng, i, o: normal(rng, i, o, sd=sqrt(6 / (i + o))),
    "fourier_features": lambda rng, i, o: normal(rng, i, o, sd=4 / sqrt(i)),
}

BIAS_INITS: dict[str, Callable[[Generator, int, int], Matrix]] = {
    "torch_uniform": lambda rng, i, o: uniform(rng, 1, o, 1 / sqrt(i)),
    "zeros": lambda rng, i, o: np.zeros((1, o), np.float32),
    "fourier_features": lambda rng, i, o: uniform(rng, 1, o, np.pi) + np.float32(np.pi),
}

FEEDBACK_INITS: dict[str, Init] = {
    "uniform": uniform,
    "standard_uniform": lambda rng, i, o: rng.random((i, o), dtype=np.float32),
    "gaussian": lambda rng, i, o: normal(rng, i, o, mean=1 / sqrt(i), sd=1 / sqrt(i)),
    "standard_gaussian": normal,
    "truncated_normal": truncated_normal,
    "orthogonal": orthogonal,
    "xavier": lambda rng, i, o: uniform(rng, i, o, sqrt(6 / (i + o))),
    "unit_uniform": unit_uniform,
    "zeros": zeros,  # for feedback that learns
}
"""The thesis's four matrices (its section 3.1: uniform, standard uniform, gaussian with mean = sd,
standard gaussian), a truncated normal, orthogonal, Glorot's uniform and U(±1). "transported" is no
distribution: see ``LearningRule`` classes with feedback."""


@dataclass(frozen=True, config=STRICT)
class InitOfB:
    """How feedback matrices are drawn: a distribution's name and a factor."""

    name: str
    scale: Rate

    def __post_init__(self) -> None:
        known = [*FEEDBACK_INITS, "transported"]
        if self.name not in known:
            raise UserError(f"init_of_B.name={self.name} is unknown{nearest(self.name, known)}")

    def feedback(self, source: int, to: int) -> Callable[[Generator], Matrix]:
        """What draws a feedback matrix [source, to] (without the factor): as the weights in its
        place, and transposed. Transported feedback is drawn by nobody."""
        draw = FEEDBACK_INITS.get(self.name, zeros)
        return lambda rng: np.ascontiguousarray(draw(rng, to, source).T)
