"""A network small enough for hand-made numbers: two examples, 2-3-2 units of ReLU, then the output.

Rules that send the error layer by layer have one output, those that send it directly have two.
"""

import numpy as np
import torch

from fabench.network import Layer, Weights, forward

X = np.array([[1.0, -2.0], [0.5, 1.0]])
W1 = np.array([[0.5, -1.0, 1.0], [0.25, 2.0, -1.0]])
W2 = np.array([[1.0, 2.0], [-3.0, 1.0], [0.5, -0.5]])
A1 = X @ W1  # [[0, -5, 3], [0.5, 1.5, 0]]
A2 = np.maximum(A1, 0) @ W2  # [[1.5, -1.5], [-4, 2.5]]

SEQUENTIAL = (
    np.array([[2.0], [-0.5]]),  # W3
    np.array([[1.0, -1.0, 2.0], [0.5, 4.0, -3.0]]),  # B2, in place of W2.T
    np.array([[3.0, -2.0]]),  # B3, in place of W3.T
    np.array([[0.5], [-1.0]]),  # E
)
DIRECT = (
    np.array([[2.0, 1.0], [-0.5, 0.0]]),  # W3
    np.array([[1.0, -1.0, 2.0], [0.5, 4.0, -3.0]]),  # B1
    np.array([[3.0, -2.0], [1.0, 0.0]]),  # B2
    np.array([[0.5, 1.0], [-1.0, 2.0]]),  # E
)


def stacked(*matrices):
    """The matrices of a population of one."""
    return [torch.tensor(m)[None] for m in matrices]


def passed(W):
    """The forward pass of X through W."""
    layers = tuple(Layer(w.shape[1], w.shape[2], "relu") for w in W)
    return forward(layers, Weights(W, [None] * 3, [None] * 3), torch.tensor(X)[None])
