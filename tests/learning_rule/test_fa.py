import numpy as np
import torch
from by_hand import sent

from fabench.learning_rule.fa import Fa

X = np.array([[1.0, -2.0], [0.5, 1.0]])
W1 = np.array([[0.5, -1.0, 1.0], [0.25, 2.0, -1.0]])
W2 = np.array([[1.0, 2.0], [-3.0, 1.0], [0.5, 0.5]])
W3 = np.array([[2.0], [-0.5]])
B2 = np.array([[1.0, -1.0, 2.0], [0.5, 4.0, -3.0]])  # in place of W2.T
B3 = np.array([[3.0, -2.0]])  # in place of W3.T
E = np.array([[0.5], [-1.0]])


def test_follows_the_equations():
    """2-3-2-1 units, ReLU."""
    W, B = [[torch.tensor(m)[None] for m in matrices] for matrices in ((W1, W2, W3), (B2, B3))]
    deltas, _ = sent(Fa(name="fa"), W, B, E)

    a1 = X @ W1
    a2 = np.maximum(a1, 0) @ W2
    delta2 = (E @ B3) * (a2 > 0)  # (2)
    delta1 = (delta2 @ B2) * (a1 > 0)  # (2)
    for delta, expected in zip(deltas, (delta1, delta2, E), strict=True):
        np.testing.assert_allclose(delta[0], expected, rtol=1e-12)
    np.testing.assert_array_equal(delta2, [[1.5, -1], [0, 2]])
    np.testing.assert_array_equal(delta1, [[0, 0, 6], [1, 8, 0]])
