import numpy as np
import torch
from by_hand import A1, A2, DIRECT, W1, W2, passed, stacked

from fabench.learning_rule.dkp import Dkp

W3, B1, B2, E = DIRECT


def test_follows_the_equations():
    W, B, e = stacked(W1, W2, W3), stacked(B1, B2), torch.tensor(E)[None]
    rule, state = Dkp(name="dkp", feedback_rate=0.5), passed(W)
    deltas = rule.teaching_signals(e, state, W, B)
    delta1, delta2 = (E @ B1) * (A1 > 0), (E @ B2) * (A2 > 0)  # (2)
    for delta, expected in zip(deltas, (delta1, delta2, E), strict=True):
        np.testing.assert_allclose(delta[0], expected, rtol=1e-12)

    dB1, dB2 = rule.feedback_gradients(state, deltas, e, W, B)
    # (3), means over two examples: h1 = [[0, 0, 3], [0.5, 1.5, 0]], h2 = [[1.5, 0], [0, 2.5]]
    np.testing.assert_allclose(dB1[0], [[-0.125, -0.375, 0.375], [0.25, 0.75, 0.75]])
    np.testing.assert_allclose(dB2[0], [[0.1875, -0.625], [0.375, 1.25]])


def test_the_last_matrix_gets_the_transposed_update_of_the_output_weights():
    W, B, e = stacked(W1, W2, W3), stacked(B1, B2), torch.tensor(E)[None]
    state = passed(W)
    dB2 = Dkp(name="dkp", feedback_rate=1.0).feedback_gradients(state, [], e, W, B)[-1]
    torch.testing.assert_close(dB2, (state.h[2].mT @ e / 2).mT)
