import numpy as np
import torch
from by_hand import HandPart

from fabench.learning_rule.relu_features import ReluFeatures
from fabench.model.layer.network import Layer

X = np.array([[1.0, -2.0], [0.5, 1.0]])
W1, W2 = np.array([[0.5, -1.0, 1.0], [0.25, 2.0, -1.0]]), np.array([[1.0], [-3.0], [0.5]])
E = np.array([[0.5], [-1.0]])


def test_follows_the_equation():
    """2-3-1 units of a model that asks for tanh."""
    rule = ReluFeatures(name="relu_features")
    layers = (rule.hidden_layer(Layer(2, 3, "tanh")), Layer(3, 1, "tanh"))
    W = [torch.tensor(w)[None] for w in (W1, W2)]
    part = HandPart(layers, W=W)
    passed = part.forward(torch.tensor(X)[None])
    np.testing.assert_array_equal(passed.h[1][0], [[0, 0, 3], [0.5, 1.5, 0]])  # (1)
    np.testing.assert_array_equal(passed.output[0], [[1.5], [-4]])
    deltas = rule.teaching_signals(torch.tensor(E)[None], None, passed, part)
    assert list(deltas) == [1]
    np.testing.assert_array_equal(deltas[1][0], E)


def test_layers_are_drawn_as_the_model_wants():
    model = Layer(2, 3, "tanh", "xavier_uniform", "zeros", 2.0)
    layer = ReluFeatures(name="relu_features").hidden_layer(model)
    assert layer == Layer(2, 3, "relu", "xavier_uniform", "zeros", 2.0, trained=False)
