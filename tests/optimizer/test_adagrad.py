from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fabench.optimizer.adagrad import Adagrad

GRADIENTS = np.random.default_rng(0).normal(size=(6, 4)) * [1, 1e-4, 1e-8, 0]


@pytest.mark.parametrize("place", ["inside", "outside"])
def test_follows_the_thesis_or_torch(place):
    h = SimpleNamespace(lr=0.1, epsilon=1e-8)
    adagrad = Adagrad(name="adagrad", epsilon_place=place, **vars(h))
    W = torch.ones(4, dtype=torch.float64)
    state = adagrad.initial_state(W)

    theta, G = np.ones(4), np.zeros(4)
    for t, g in enumerate(GRADIENTS, start=1):
        adagrad.update_(W, torch.tensor(g), state, adagrad.at_step(t, h))
        G = G + g**2
        root = np.sqrt(G + 1e-8) if place == "inside" else np.sqrt(G) + 1e-8
        theta = theta - 0.1 / root * g
        np.testing.assert_allclose(W, theta, rtol=1e-13)
