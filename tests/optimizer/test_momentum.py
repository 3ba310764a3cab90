from types import SimpleNamespace

import numpy as np
import torch

from fabench.optimizer.momentum import Momentum

GRADIENTS = np.random.default_rng(0).normal(size=(6, 3)) * [1, 1e-4, 0]


def test_follows_the_thesis():
    h = SimpleNamespace(lr=0.1, momentum=0.9)
    momentum = Momentum(name="momentum", **vars(h))
    W = torch.ones(3, dtype=torch.float64)
    state = momentum.initial_state(W)

    theta, v = np.ones(3), np.zeros(3)
    for t, g in enumerate(GRADIENTS, start=1):
        momentum.update_(W, torch.tensor(g), state, momentum.at_step(t, h))
        v = 0.9 * v + 0.1 * g
        theta = theta - v
        np.testing.assert_allclose(W, theta, rtol=1e-13)
        np.testing.assert_allclose(state["velocity"], v, rtol=1e-13)


def test_velocity_keeps_the_learning_rate_of_its_time():
    """The thesis's form; torch's would scale the whole velocity by the new rate."""
    momentum = Momentum(name="momentum", lr=0.1, momentum=0.5)
    W = torch.zeros(1, dtype=torch.float64)
    state, g = momentum.initial_state(W), torch.ones(1, dtype=torch.float64)
    momentum.update_(W, g, state, momentum.at_step(1, SimpleNamespace(lr=0.1, momentum=0.5)))
    momentum.update_(W, g, state, momentum.at_step(2, SimpleNamespace(lr=0.01, momentum=0.5)))
    np.testing.assert_allclose(W, [-0.1 - (0.05 + 0.01)], rtol=1e-14)
