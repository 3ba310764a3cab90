import numpy as np
import torch
from by_hand import HandPart

from fabench.learning_rule.bp import Bp
from fabench.model.layer.network import Layer

X = np.array([[1.0, -2.0]])
W1, W2, W3 = (
    np.array([[0.5, -1.0], [0.25, 2.0]]),
    np.array([[1.0], [-3.0]]),
    np.array([[2.0, -0.5]]),
)
E = np.array([[0.5, -4.0]])


def test_follows_the_equations():
    """2-2-1-2 units, tanh; the numbers of the last lines are worked out by hand."""
    W = [torch.tensor(w)[None] for w in (W1, W2, W3)]
    layers = tuple(Layer(w.shape[1], w.shape[2], "tanh") for w in W)
    part = HandPart(layers, W=W)
    passed = part.forward(torch.tensor(X)[None])
    deltas = Bp(name="bp").teaching_signals(torch.tensor(E)[None], None, passed, part)
    deltas = [deltas[layer] for layer in range(3)]

    h1 = np.tanh(X @ W1)
    h2 = np.tanh(h1 @ W2)
    delta2 = (E @ W3.T) * (1 - h2**2)
    delta1 = (delta2 @ W2.T) * (1 - h1**2)
    for delta, expected in zip(deltas, (delta1, delta2, E), strict=True):
        np.testing.assert_allclose(delta[0], expected, rtol=1e-12)
    np.testing.assert_allclose(X @ W1, [[0, -5]])  # so h1 = (0, -tanh 5), a2 = 3 tanh 5
    np.testing.assert_allclose(delta2, 3 / np.cosh(3 * np.tanh(5)) ** 2)  # .5 * 2 + 4 * .5 = 3
    np.testing.assert_allclose(delta1, delta2 * [[1, -3 / np.cosh(5) ** 2]])
