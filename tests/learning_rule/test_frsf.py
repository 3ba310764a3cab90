import numpy as np
from by_hand import A1, A2, SEQUENTIAL, W1, W2, sent, stacked

from fabench.learning_rule.frsf import Frsf

W3, B2, B3, E = SEQUENTIAL

V2 = np.array([[1.0, -1.0, 2.0], [0.5, 4.0, -3.0]])  # (3)
V3 = np.array([[3.0, -2.0]])


def test_follows_the_equations():
    W = stacked(W1, W2, W3)
    delta2 = (E @ V3) * (A2 > 0)  # (2)
    delta1 = (delta2 @ V2) * (A1 > 0)
    np.testing.assert_array_equal(delta2, [[1.5, 0], [0, 2]])
    np.testing.assert_array_equal(delta1, [[0, 0, 3], [1, 8, 0]])
    for sign in (1, -1):  # B's signs do not matter
        B = stacked(sign * np.abs(B2), sign * B3)
        deltas, _ = sent(Frsf(name="frsf"), W, B, E)
        for delta, expected in zip(deltas, (delta1, delta2, E), strict=True):
            np.testing.assert_allclose(delta[0], expected, rtol=1e-12)


def test_signs_follow_the_weights():
    frsf = Frsf(name="frsf")
    (_, (v, w)) = frsf.alignment_pairs(stacked(W1, W2, -W3), stacked(B2, B3))
    np.testing.assert_array_equal(v[0], -V3)
    np.testing.assert_array_equal(w[0], -W3.T)
