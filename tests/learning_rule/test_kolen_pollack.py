import numpy as np
import torch
from by_hand import A1, A2, SEQUENTIAL, W1, W2, sent, stacked

from fabench.learning_rule.kolen_pollack import KolenPollack
from fabench.population.population import Row
from fabench.run.trainer import population_of

W3, B2, B3, E = SEQUENTIAL


def test_follows_the_equations():
    W, B = stacked(W1, W2, W3), stacked(B2, B3)
    deltas, part = sent(KolenPollack(name="kolen_pollack"), W, B, E)
    delta2 = (E @ B3) * (A2 > 0)  # (2)
    delta1 = (delta2 @ B2) * (A1 > 0)
    for delta, expected in zip(deltas, (delta1, delta2, E), strict=True):
        np.testing.assert_allclose(delta[0], expected, rtol=1e-12)

    (dB2, rate2), (dB3, rate3) = (part.descended[name] for name in ("B0", "B1"))
    assert rate2 == rate3 == 1
    np.testing.assert_array_equal(delta2, [[1.5, 0], [0, 2]])
    # (4), means over two examples: h1 = [[0, 0, 3], [0.5, 1.5, 0]], h2 = [[1.5, 0], [0, 2.5]]
    np.testing.assert_allclose(dB2[0], [[0, 0, 2.25], [0.5, 1.5, 0]])
    np.testing.assert_allclose(dB3[0], [[0.375, -1.25]])


def test_the_difference_to_the_weights_shrinks_by_the_decay(make_config):
    config = make_config(
        learning_rule="kolen_pollack", model__hidden=[6, 5], model__activation="tanh", k=1,
        optimizer__lr=0.2, trainer__weight_decay=0.5,
    )  # fmt: skip
    people = population_of(config, [Row(s, config.scalars()) for s in (0, 1)], torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 9, 64, generator=rng), torch.rand(2, 9, 1, generator=rng).round()

    def differences():
        return [
            w.mT - b for w, b in zip(people.matrices("W")[1:], people.matrices("B"), strict=True)
        ]

    before, W = differences(), [w.clone() for w in people.matrices("W")[1:]]
    for _ in range(3):
        people.step(x, y)
    for now, start in zip(differences(), before, strict=True):
        torch.testing.assert_close(now, 0.9**3 * start, rtol=1e-4, atol=1e-6)
    for w, start in zip(people.matrices("W")[1:], W, strict=True):
        assert not torch.allclose(w, 0.9**3 * start, rtol=1e-2)
