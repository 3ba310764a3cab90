from types import SimpleNamespace

import numpy as np
import torch

from fabench.optimizer.adam import Adam

GRADIENTS = np.random.default_rng(0).normal(size=(6, 4)) * [1, 1e-4, 1e-8, 0]


def test_follows_the_paper():
    lr, beta1, beta2, epsilon = 0.1, 0.9, 0.999, 1e-8
    h = SimpleNamespace(lr=lr, beta1=beta1, beta2=beta2, epsilon=epsilon)
    adam = Adam(name="adam", **vars(h))
    W = torch.zeros(4, dtype=torch.float64)
    state = adam.initial_state(W)

    theta, m, v = np.zeros(4), np.zeros(4), np.zeros(4)
    for t, g in enumerate(GRADIENTS, start=1):
        adam.update_(W, torch.tensor(g), state, adam.at_step(t, h))
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta = theta - lr * m_hat / (np.sqrt(v_hat) + epsilon)
        np.testing.assert_allclose(W, theta, rtol=1e-12)


def test_first_step_is_the_learning_rate():
    """Bias correction makes m_hat = g and v_hat = g^2 at t = 1, whatever the size of g."""
    h = SimpleNamespace(lr=0.1, beta1=0.9, beta2=0.999, epsilon=0.0)
    adam = Adam(name="adam", **vars(h))
    W = torch.zeros(2, dtype=torch.float64)
    adam.update_(W, torch.tensor([5e3, -2e-7]).double(), adam.initial_state(W), adam.at_step(1, h))
    np.testing.assert_allclose(W, [-0.1, 0.1], rtol=1e-12)
