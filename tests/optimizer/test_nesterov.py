from types import SimpleNamespace

import numpy as np
import torch

from fabench.optimizer.nesterov import Nesterov

CURVATURE = np.array([1.0, 0.3, 3.0])


def gradient(w):
    return CURVATURE * w + w**3


def test_weights_are_the_look_ahead_point_of_the_thesis():
    lr, gamma = 0.05, 0.9
    h = SimpleNamespace(lr=lr, momentum=gamma)
    nesterov = Nesterov(name="nesterov", **vars(h))
    W = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    state = nesterov.initial_state(W)

    theta, v = W.numpy().copy(), np.zeros(3)
    for t in range(1, 21):
        np.testing.assert_allclose(W, theta - gamma * v, rtol=1e-12)
        nesterov.update_(W, torch.tensor(gradient(W.numpy())), state, nesterov.at_step(t, h))
        v = gamma * v + lr * gradient(theta - gamma * v)
        theta = theta - v
        np.testing.assert_allclose(W + gamma * state["velocity"], theta, rtol=1e-12)
