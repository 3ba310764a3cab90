import numpy as np
import torch
from by_hand import A1, A2, DIRECT, W1, W2, sent, stacked

from fabench.learning_rule.dfa import Dfa
from fabench.learning_rule.drtp import Drtp

W3, B1, B2, E = DIRECT

Y = np.array([[1.0, 0.0], [0.0, 1.0]])


def test_follows_the_equations():
    W, y = stacked(W1, W2, W3), torch.tensor(Y)[None]
    deltas, _ = sent(Drtp(name="drtp"), W, stacked(B1, B2), E, y)
    delta1, delta2 = -(Y @ B1) * (A1 > 0), -(Y @ B2) * (A2 > 0)  # (2)
    for delta, expected in zip(deltas, (delta1, delta2, E), strict=True):
        np.testing.assert_allclose(delta[0], expected, rtol=1e-12)
    np.testing.assert_array_equal(delta1, [[0, 0, -2], [-0.5, -4, 0]])
    np.testing.assert_array_equal(delta2, [[-3, 0], [0, 0]])


def test_the_signal_is_dfas_where_the_outputs_are_0():
    """There e = yhat - y* is -y*."""
    W, B, y = stacked(W1, W2, W3), stacked(B1, B2), torch.tensor(Y)[None]
    expected, _ = sent(Dfa(name="dfa"), W, B, -y)
    deltas, _ = sent(Drtp(name="drtp"), W, B, -y, y)
    for delta, dfas in zip(deltas, expected, strict=True):
        assert torch.equal(delta, dfas)
