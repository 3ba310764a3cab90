from types import SimpleNamespace

import numpy as np
import torch

from fabench.optimizer.lion import Lion

GRADIENTS = np.random.default_rng(0).normal(size=(8, 4)) * [1, 1e-4, 1e-8, 0]


def test_follows_the_paper():
    settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.5, "decoupled_weight_decay": 0.3}
    h = SimpleNamespace(**settings)
    lion = Lion(name="lion", **settings)
    start = np.array([1.0, -2.0, 3.0, -4.0])
    W = torch.tensor(start)
    state = lion.initial_state(W)
    theta, m = start.copy(), np.zeros(4)
    for t, g in enumerate(GRADIENTS, start=1):
        lion.update_(W, torch.tensor(g), state, lion.at_step(t, h))
        c = 0.9 * m + 0.1 * g
        theta = theta - 0.1 * (np.sign(c) + 0.3 * theta)
        m = 0.5 * m + 0.5 * g
        np.testing.assert_allclose(W, theta, rtol=1e-12)


def test_every_first_step_is_as_long():
    h = SimpleNamespace(lr=0.1, beta1=0.9, beta2=0.99, decoupled_weight_decay=0.0)
    lion = Lion(name="lion", **vars(h))
    W = torch.zeros(3, dtype=torch.float64)
    lion.update_(W, torch.tensor([5e3, -2e-7, 0.0]).double(), lion.initial_state(W), h)
    np.testing.assert_allclose(W, [-0.1, 0.1, 0.0], rtol=1e-12)
