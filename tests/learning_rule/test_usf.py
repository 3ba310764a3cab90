import numpy as np
import torch
from by_hand import A1, A2, SEQUENTIAL, W1, W2, sent, stacked

from fabench.learning_rule.usf import Usf
from fabench.population.population import Row
from fabench.run.trainer import population_of

W3, B2, B3, E = SEQUENTIAL

S2, S3 = np.sqrt(31.25 / 6), np.sqrt(6.5)  # root mean squares of B2 and B3


def test_follows_the_equations():
    W, B = stacked(W1, W2, W3), stacked(B2, B3)
    deltas, _ = sent(Usf(name="usf"), W, B, E)
    V2 = S2 * np.array([[1, -1, 1], [1, 1, -1]])  # (3)
    V3 = S3 * np.array([[1, -1]])
    delta2 = (E @ V3) * (A2 > 0)  # (2)
    delta1 = (delta2 @ V2) * (A1 > 0)
    for delta, expected in zip(deltas, (delta1, delta2, E), strict=True):
        np.testing.assert_allclose(delta[0], expected, rtol=1e-12)
    np.testing.assert_allclose(delta2, S3 * np.array([[0.5, 0], [0, 1]]))
    np.testing.assert_allclose(delta1, S2 * S3 * np.array([[0, 0, 0.5], [1, 1, 0]]))


def test_alignment_is_that_of_the_signs():
    pairs = Usf(name="usf").alignment_pairs(stacked(W1, W2, W3), stacked(B2, B3))
    for (v, w), s, W in zip(pairs, (S2, S3), (W2, W3), strict=True):
        np.testing.assert_allclose(v[0], s * np.sign(W.T))
        np.testing.assert_array_equal(w[0], W.T)


def test_the_magnitude_is_the_initial_weights_deviation(make_config):
    """For the default init_of_B."""
    config = make_config(learning_rule="usf", model__hidden=[300, 200])
    people = population_of(config, [Row(0, config.scalars())], torch.device("cpu"))
    for v, w in people.rule.alignment_pairs(people.matrices("W"), people.matrices("B")):
        np.testing.assert_allclose(v.abs().max(), w.std(), rtol=0.1)
