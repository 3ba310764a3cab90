import numpy as np
import torch
from by_hand import A1, A2, DIRECT, W1, W2, sent, stacked

from fabench.learning_rule.dkp import Dkp

W3, B1, B2, E = DIRECT


def test_follows_the_equations():
    W, B = stacked(W1, W2, W3), stacked(B1, B2)
    deltas, part = sent(Dkp(name="dkp", feedback_rate=0.5), W, B, E)
    delta1, delta2 = (E @ B1) * (A1 > 0), (E @ B2) * (A2 > 0)  # (2)
    for delta, expected in zip(deltas, (delta1, delta2, E), strict=True):
        np.testing.assert_allclose(delta[0], expected, rtol=1e-12)

    (dB1, rate1), (dB2, rate2) = (part.descended[name] for name in ("B0", "B1"))
    assert rate1 == rate2 == 0.5
    # (3), means over two examples: h1 = [[0, 0, 3], [0.5, 1.5, 0]], h2 = [[1.5, 0], [0, 2.5]]
    np.testing.assert_allclose(dB1[0], [[-0.25, -0.75, 0.75], [0.5, 1.5, 1.5]])
    np.testing.assert_allclose(dB2[0], [[0.375, -1.25], [0.75, 2.5]])


def test_the_last_matrix_gets_the_transposed_update_of_the_output_weights():
    W, B, e = stacked(W1, W2, W3), stacked(B1, B2), torch.tensor(E)[None]
    _, part = sent(Dkp(name="dkp", feedback_rate=1.0), W, B, E)
    h = torch.tensor(np.maximum(A2, 0))[None]
    torch.testing.assert_close(part.descended["B1"][0], (h.mT @ e / 2).mT)
