from types import SimpleNamespace

import numpy as np
import torch

from fabench.optimizer.nadamw import Nadamw

GRADIENTS = np.random.default_rng(0).normal(size=(6, 4)) * [1, 1e-4, 1e-8, 0]


def test_follows_the_survey_and_decays_the_weights_before_the_step():
    numbers = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}
    h = SimpleNamespace(**numbers, decoupled_weight_decay=0.3)
    nadamw = Nadamw(name="nadamw", momentum_schedule="constant", **vars(h))
    theta, m, v = np.array([1.0, -2.0, 3.0, -4.0]), np.zeros(4), np.zeros(4)
    W = torch.tensor(theta)
    state = nadamw.initial_state(W)
    for t, g in enumerate(GRADIENTS, start=1):
        nadamw.update_(W, torch.tensor(g), state, nadamw.at_step(t, h))
        m = 0.9 * m + 0.1 * g
        v = 0.99 * v + 0.01 * g**2
        ahead = (0.9 * m + 0.1 * g) / (1 - 0.9**t)
        theta = theta - 0.1 * (ahead / (np.sqrt(v / (1 - 0.99**t)) + 1e-8) + 0.3 * theta)
        np.testing.assert_allclose(W, theta, rtol=1e-12)
