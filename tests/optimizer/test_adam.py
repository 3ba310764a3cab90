from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fabench.optimizer.adam import Adam
from fabench.population.population import Row
from fabench.run.trainer import population_of

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


def test_bias_correction_may_count_epochs(make_config):
    """bp of a linear network, W <- W - lr m_hat / (sqrt(v_hat) + epsilon), t the epoch's number:
    24 examples in batches of 5 are five steps an epoch."""
    config = make_config(
        learning_rule="bp", optimizer="adam", optimizer__lr=0.01, model__hidden=[], k=1, seed=[0],
        optimizer__bias_correction="epoch", trainer__batch_size=5, trainer__train_examples=24,
    )  # fmt: skip
    people = population_of(config, [Row(0, config.scalars())], torch.device("cpu"))
    W = people.tensors["W0"].double().numpy()[0].copy()
    rng, m, v = np.random.default_rng(0), np.zeros_like(W), np.zeros_like(W)
    for step in range(12):
        x, y = rng.normal(size=(5, 64)), rng.integers(2, size=(5, 1))
        people.step(*(torch.tensor(a[None], dtype=torch.float32) for a in (x, y)))
        g = x.T @ (1 / (1 + np.exp(-x @ W)) - y) / 5
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        epoch = step // 5 + 1
        m_hat, v_hat = m / (1 - 0.9**epoch), v / (1 - 0.999**epoch)
        W -= 0.01 * m_hat / (np.sqrt(v_hat) + 1e-8)
        np.testing.assert_allclose(people.tensors["W0"][0], W, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("parallel", ["serial", "downpour"])
@pytest.mark.parametrize("correction", ["step", "epoch"])
def test_every_scheme_counts_the_trainings_epochs(make_config, parallel, correction):
    """Five steps an epoch, as numbers and, as on a GPU, as tensors; two workers share the steps."""
    settings = {"parallel": parallel, "optimizer": "adam", "k": 1}
    if parallel == "downpour":
        settings["parallel__workers"] = 2
    config = make_config(
        **settings, optimizer__bias_correction=correction, trainer__batch_size=5,
        trainer__train_examples=24, learning_rule="bp",
    )  # fmt: skip
    people = population_of(config, [Row(0, config.scalars())], torch.device("cpu"))
    part, h, t = people.part(slice(0, 1)), config.optimizer, [1, 5, 6, 10, 11]
    expected = {"epoch": [1, 1, 2, 2, 3], "step": t if parallel == "serial" else [1, 3, 3, 5, 6]}
    for kind in (int, lambda t: torch.tensor(t, dtype=torch.float64)):
        for step, number in zip(t, expected[correction], strict=True):
            part.begin(kind(step))
            assert float(part.numbers.of_m) == pytest.approx(1 - h.beta1**number)
