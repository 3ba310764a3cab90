import numpy as np
from by_hand import A1, A2, SEQUENTIAL, W1, W2, passed, sent, stacked

from fabench.learning_rule.product_feedback import ProductFeedback

W3, _, _, E = SEQUENTIAL
B2 = np.array([[1.0, -1.0, 0.0, 2.0], [0.5, 2.0, 1.0, 0.0]])
R2 = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0], [3.0, 0.5, 0.0], [-1.0, 1.0, 1.0]])
B3 = np.array([[2.0, -1.0]])
R3 = np.array([[1.0, -1.0], [0.0, 3.0]])
RULE = ProductFeedback(name="product_feedback", expand=2)

W, B = stacked(W1, W2, W3), stacked(B2, R2, B3, R3)


def test_follows_the_equations():
    deltas, part = sent(RULE, W, B, E)
    delta2 = (E @ B3 @ R3) * (A2 > 0)  # (2), (3)
    delta1 = (delta2 @ B2 @ R2) * (A1 > 0)
    for delta, expected in zip(deltas, (delta1, delta2, E), strict=True):
        np.testing.assert_allclose(delta[0], expected, rtol=1e-12)
    np.testing.assert_array_equal(delta2, [[1, 0], [0, 5]])
    np.testing.assert_array_equal(delta1, [[0, 0, 5], [17.5, 12.5, 0]])

    assert list(part.descended) == ["B1", "B3"]
    (dR2, _), (dR3, _) = part.descended.values()
    # r2 = delta2 B2, r3 = E B3; h1 = [[0, 0, 3], [0.5, 1.5, 0]], h2 = [[1.5, 0], [0, 2.5]]
    r2, r3 = np.array([[1, -1, 0, 2], [2.5, 10, 5, 0]]), np.array([[1, -0.5], [-2, 1]])
    expected = [[0.625, 1.875, 1.5], [2.5, 7.5, -1.5], [1.25, 3.75, 0], [0, 0, 3]]
    np.testing.assert_array_equal(expected, r2.T @ np.maximum(A1, 0) / 2)
    np.testing.assert_allclose(dR2[0], expected)  # (4)
    np.testing.assert_allclose(dR3[0], [[0.75, -2.5], [-0.375, 1.25]])
    np.testing.assert_array_equal([[0.75, -2.5], [-0.375, 1.25]], r3.T @ np.maximum(A2, 0) / 2)


def test_shapes_and_alignment_are_of_pairs():
    assert RULE.feedback_shapes(passed(W).layers) == [(2, 4), (4, 3), (1, 2), (2, 2)]
    (p2, w2), (p3, w3) = RULE.alignment_pairs(W, B)
    np.testing.assert_array_equal(p2[0], B2 @ R2)
    np.testing.assert_array_equal(p3[0], B3 @ R3)
    np.testing.assert_array_equal(w2[0], W2.T)
    np.testing.assert_array_equal(w3[0], W3.T)
