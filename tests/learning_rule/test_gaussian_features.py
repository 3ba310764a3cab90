from math import sqrt

import numpy as np
import torch
from by_hand import HandPart

from fabench.learning_rule.gaussian_features import GaussianFeatures
from fabench.model.layer.network import Layer
from fabench.population.population import Row
from fabench.run.trainer import population_of

X = np.array([[1.0, -2.0], [0.5, 1.0]])
W1, W2 = np.array([[0.5, -1.0, 1.0], [0.25, 2.0, -1.0]]), np.array([[1.0], [-3.0], [0.5]])
E = np.array([[0.5], [-1.0]])


def test_follows_the_equation():
    """2-3-1 units of a model that asks for tanh."""
    rule = GaussianFeatures(name="gaussian_features")
    layers = (rule.hidden_layer(Layer(2, 3, "tanh")), Layer(3, 1, "tanh"))
    W = [torch.tensor(w)[None] for w in (W1, W2)]
    part = HandPart(layers, W=W)
    passed = part.forward(torch.tensor(X)[None])
    np.testing.assert_array_equal(passed.h[1][0], [[0, 0, 3], [0.5, 1.5, 0]])  # (1)
    deltas = rule.teaching_signals(torch.tensor(E)[None], None, passed, part)
    assert list(deltas) == [1]
    np.testing.assert_array_equal(deltas[1][0], E)


def test_the_weights_are_normal_with_the_thesis_variance(make_config):
    """k = 2 images of 64 pixels, 400 hidden units: variance 6 / 528."""
    config = make_config(learning_rule="gaussian_features", model__hidden=[400], k=2)
    people = population_of(config, [Row(0, config.scalars())], torch.device("cpu"))
    W = people.matrices("W")[0].double().flatten()
    z, n = W * sqrt(528 / 6), len(W)
    assert n == 128 * 400
    # standard errors of the moments of n standard normal numbers
    assert abs(z.mean()) < 5 / sqrt(n)
    assert abs(z.square().mean() - 1) < 5 * sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 5 * sqrt(96 / n)
    bound = 1 / sqrt(400)  # the output layer is the model's: uniform
    assert people.matrices("W")[1].abs().max() <= bound
