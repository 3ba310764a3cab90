from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fabench.optimizer.nadam import Nadam, _product

GRADIENTS = np.random.default_rng(0).normal(size=(6, 4)) * [1, 1e-4, 1e-8, 0]


@pytest.mark.parametrize("schedule", ["constant", "dozat"])
def test_follows_the_survey_or_dozat(schedule):
    lr, beta1, beta2, epsilon = 0.1, 0.9, 0.999, 1e-8
    h = SimpleNamespace(lr=lr, beta1=beta1, beta2=beta2, epsilon=epsilon)
    nadam = Nadam(name="nadam", momentum_schedule=schedule, **vars(h))
    W = torch.zeros(4, dtype=torch.float64)
    state = nadam.initial_state(W)

    mu = beta1 * (1 - 0.5 * 0.96 ** (0.004 * np.arange(10)))  # mu[t]; mu[0] is not used
    theta, m, v = np.zeros(4), np.zeros(4), np.zeros(4)
    for t, g in enumerate(GRADIENTS, start=1):
        nadam.update_(W, torch.tensor(g), state, nadam.at_step(t, h))
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        if schedule == "constant":
            m_hat = m / (1 - beta1**t)
            ahead = beta1 * m_hat + (1 - beta1) * g / (1 - beta1**t)
        else:
            ahead = mu[t + 1] * m / (1 - np.prod(mu[1 : t + 2]))
            ahead = ahead + (1 - mu[t]) * g / (1 - np.prod(mu[1 : t + 1]))
        theta = theta - lr / (np.sqrt(v / (1 - beta2**t)) + epsilon) * ahead
        np.testing.assert_allclose(W, theta, rtol=1e-12)


@pytest.mark.parametrize("t", [1, 99, 100, 101, 5000])
def test_a_hundred_factors_are_enough(t):
    mu = 0.999999 * (1 - 0.5 * 0.96 ** (np.arange(1, t + 1) / 250))
    np.testing.assert_allclose(1 - _product(0.999999, t), 1 - np.prod(mu), rtol=1e-13)
