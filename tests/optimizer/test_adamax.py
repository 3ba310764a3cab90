from types import SimpleNamespace

import numpy as np
import torch

from fabench.optimizer.adamax import Adamax

GRADIENTS = np.array([[1.0, 1e-8, 0], [-0.2, 3e-8, 0], [0.7, -1e-9, 0], [-3.0, 2e-8, 0]])


def test_follows_the_paper_with_epsilon_beside_the_magnitude():
    lr, beta1, beta2, epsilon = 0.1, 0.9, 0.5, 1e-8
    h = SimpleNamespace(lr=lr, beta1=beta1, beta2=beta2, epsilon=epsilon)
    adamax = Adamax(name="adamax", **vars(h))
    W = torch.zeros(3, dtype=torch.float64)
    state = adamax.initial_state(W)

    theta, m, u = np.zeros(3), np.zeros(3), np.zeros(3)
    for t, g in enumerate(GRADIENTS, start=1):
        adamax.update_(W, torch.tensor(g), state, adamax.at_step(t, h))
        m = beta1 * m + (1 - beta1) * g
        u = np.maximum(beta2 * u, np.abs(g) + epsilon)
        theta = theta - lr / (1 - beta1**t) * m / u
        np.testing.assert_allclose(W, theta, rtol=1e-12)
