import numpy as np
import torch
from by_hand import A1, A2, SEQUENTIAL, W1, W2, sent, stacked

from fabench.learning_rule.brsf import Brsf
from fabench.population.population import Row
from fabench.run.trainer import population_of

W3, B2, B3, E = SEQUENTIAL

S2, S3 = np.sqrt(31.25 / 6), np.sqrt(6.5)  # root mean squares of B2 and B3
M = {
    "magnitudes 0": np.array([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]]),
    "magnitudes 1": np.array([[-7.0, 8.0]]),
}


def test_follows_the_equations():
    W, B = stacked(W1, W2, W3), stacked(B2, B3)
    deltas, _ = sent(
        Brsf(name="brsf"), W, B, E,
        noise=lambda stream, shape: torch.tensor(M[stream].reshape(shape))[None],
    )  # fmt: skip
    V2 = S2 * np.array([[1, -2, 3], [4, 5, -6]])  # (3)
    V3 = S3 * np.array([[7, -8]])
    delta2 = (E @ V3) * (A2 > 0)  # (2)
    delta1 = (delta2 @ V2) * (A1 > 0)
    for delta, expected in zip(deltas, (delta1, delta2, E), strict=True):
        np.testing.assert_allclose(delta[0], expected, rtol=1e-12)
    np.testing.assert_allclose(delta2, S3 * np.array([[3.5, 0], [0, 8]]))
    np.testing.assert_allclose(delta1, S2 * S3 * np.array([[0, 0, 10.5], [32, 40, 0]]))


def test_magnitudes_are_redrawn_for_every_batch(make_config):
    config = make_config(learning_rule="brsf", model__hidden=[6])
    people = population_of(config, [Row(0, config.scalars())], torch.device("cpu"))
    sent_back = []
    for people.steps in (1, 2, 1):
        (feedback,) = people.rule.backward(people.part(slice(None)))
        sent_back.append(feedback.clone())
    assert sent_back[0].shape == (1, 1, 6)
    assert not torch.isclose(sent_back[0], sent_back[1]).any()
    assert torch.equal(sent_back[0], sent_back[2])
