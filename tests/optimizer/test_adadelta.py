from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fabench.optimizer.adadelta import Adadelta

GRADIENTS = np.random.default_rng(0).normal(size=(6, 4)) * [1, 1e-4, 1e-8, 0]


@pytest.mark.parametrize("accumulates", ["update", "scaled_update"])
def test_follows_the_paper_or_the_thesis_code(accumulates):
    lr, rho, epsilon = 0.3, 0.9, 1e-8
    h = SimpleNamespace(lr=lr, rho=rho, epsilon=epsilon)
    adadelta = Adadelta(name="adadelta", accumulates=accumulates, **vars(h))
    W = torch.zeros(4, dtype=torch.float64)
    state = adadelta.initial_state(W)

    theta, E_g, E_d = np.zeros(4), np.zeros(4), np.zeros(4)
    for t, g in enumerate(GRADIENTS, start=1):
        adadelta.update_(W, torch.tensor(g), state, adadelta.at_step(t, h))
        E_g = rho * E_g + (1 - rho) * g**2
        d = -np.sqrt(E_d + epsilon) / np.sqrt(E_g + epsilon) * g
        theta = theta + lr * d
        E_d = rho * E_d + (1 - rho) * (d if accumulates == "update" else lr * d) ** 2
        np.testing.assert_allclose(W, theta, rtol=1e-12)
        np.testing.assert_allclose(state["mean_square_update"], E_d, rtol=1e-12)
