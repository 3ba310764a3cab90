import numpy as np
import torch
from by_hand import sent

from fabench.learning_rule.ifa import Ifa

X = np.array([[1.0, -2.0], [0.5, 1.0]])
W1 = np.array([[0.5, -1.0, 1.0], [0.25, 2.0, -1.0]])
W2 = np.array([[1.0, 2.0], [-3.0, 1.0], [0.5, 0.5]])
W3 = np.array([[2.0, 1.0], [-0.5, 0.0]])
B1 = np.array([[1.0, -1.0, 2.0], [0.5, 4.0, -3.0]])
E = np.array([[0.5, 1.0], [-1.0, 2.0]])


def stacked(*matrices):
    return [torch.tensor(m)[None] for m in matrices]


def test_follows_the_equations():
    """2-3-2-2 units, ReLU: one feedback matrix, and from there forward through W2."""
    W = stacked(W1, W2, W3)
    deltas, _ = sent(Ifa(name="ifa"), W, stacked(B1), E)

    a1 = X @ W1
    a2 = np.maximum(a1, 0) @ W2
    delta1 = (E @ B1) * (a1 > 0)  # (1)
    delta2 = (delta1 @ W2) * (a2 > 0)  # (2)
    for delta, expected in zip(deltas, (delta1, delta2, E), strict=True):
        np.testing.assert_allclose(delta[0], expected, rtol=1e-12)
    np.testing.assert_array_equal(delta1, [[0, 0, -2], [0, 9, 0]])
    np.testing.assert_array_equal(delta2, [[-1, -1], [0, 9]])


def test_alignment_compares_with_the_path_of_weights():
    ((B, path),) = Ifa(name="ifa").alignment_pairs(stacked(W1, W2, W3), stacked(B1))
    np.testing.assert_array_equal(B[0], B1)
    np.testing.assert_array_equal(path[0], (W2 @ W3).T)
