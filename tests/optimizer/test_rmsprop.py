from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fabench.optimizer.rmsprop import Rmsprop

GRADIENTS = np.random.default_rng(0).normal(size=(6, 4)) * [1, 1e-4, 1e-8, 0]


@pytest.mark.parametrize("place", ["inside", "outside"])
def test_follows_the_thesis_or_torch(place):
    lr, rho, epsilon = 0.1, 0.9, 1e-8
    h = SimpleNamespace(lr=lr, rho=rho, epsilon=epsilon)
    rmsprop = Rmsprop(name="rmsprop", epsilon_place=place, **vars(h))
    W = torch.zeros(4, dtype=torch.float64)
    state = rmsprop.initial_state(W)

    theta, E = np.zeros(4), np.zeros(4)
    for t, g in enumerate(GRADIENTS, start=1):
        rmsprop.update_(W, torch.tensor(g), state, rmsprop.at_step(t, h))
        E = rho * E + (1 - rho) * g**2
        root = np.sqrt(E + epsilon) if place == "inside" else np.sqrt(E) + epsilon
        theta = theta - lr / root * g
        np.testing.assert_allclose(W, theta, rtol=1e-12)
