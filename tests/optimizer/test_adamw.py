from types import SimpleNamespace

import numpy as np
import torch

from fabench.optimizer.adamw import Adamw

GRADIENTS = np.random.default_rng(0).normal(size=(6, 4)) * [1, 1e-4, 1e-8, 0]


def test_follows_the_paper_and_torch():
    settings = {
        "lr": 0.1,
        "beta1": 0.9,
        "beta2": 0.99,
        "epsilon": 1e-8,
        "decoupled_weight_decay": 0.3,
    }
    h = SimpleNamespace(**settings)
    adamw = Adamw(name="adamw", **settings)
    start = np.array([1.0, -2.0, 3.0, -4.0])
    W = torch.tensor(start)
    state = adamw.initial_state(W)
    theta, m, v = start.copy(), np.zeros(4), np.zeros(4)
    weight = torch.nn.Parameter(torch.tensor(start))
    torchs = torch.optim.AdamW([weight], lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.3)
    for t, g in enumerate(GRADIENTS, start=1):
        adamw.update_(W, torch.tensor(g), state, adamw.at_step(t, h))
        m = 0.9 * m + 0.1 * g
        v = 0.99 * v + 0.01 * g**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.99**t)
        theta = theta - 0.1 * (m_hat / (np.sqrt(v_hat) + 1e-8) + 0.3 * theta)
        np.testing.assert_allclose(W, theta, rtol=1e-12)
        weight.grad = torch.tensor(g)
        torchs.step()
        np.testing.assert_allclose(W, weight.detach(), rtol=1e-12)
