from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fabench.optimizer.amsgrad import Amsgrad

GRADIENTS = np.random.default_rng(0).normal(size=(8, 4)) * [1, 1e-4, 1e-8, 0]
GRADIENTS[3:] /= 10  # the second moment falls, its largest value does not


@pytest.mark.parametrize("bias_correction", [False, True])
def test_follows_the_paper_or_torch(bias_correction):
    lr, beta1, beta2, epsilon = 0.1, 0.9, 0.6, 1e-8
    h = SimpleNamespace(lr=lr, beta1=beta1, beta2=beta2, epsilon=epsilon)
    amsgrad = Amsgrad(name="amsgrad", bias_correction=bias_correction, **vars(h))
    W = torch.zeros(4, dtype=torch.float64)
    state = amsgrad.initial_state(W)

    theta, m, v, largest = np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(4)
    for t, g in enumerate(GRADIENTS, start=1):
        amsgrad.update_(W, torch.tensor(g), state, amsgrad.at_step(t, h))
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        largest = np.maximum(largest, v)
        m_hat, v_hat = m, largest
        if bias_correction:
            m_hat, v_hat = m / (1 - beta1**t), largest / (1 - beta2**t)
        theta = theta - lr * m_hat / (np.sqrt(v_hat) + epsilon)
        np.testing.assert_allclose(W, theta, rtol=1e-12)
    assert (largest[:3] > v[:3]).all()
