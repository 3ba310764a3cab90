import numpy as np
import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.shallow import Shallow
from fabench.model.layer.network import Layer

X = np.array([[1.0, -2.0], [0.5, 1.0]])
W1, W2 = np.array([[0.5, -1.0, 1.0], [0.25, 2.0, -1.0]]), np.array([[1.0], [-3.0], [0.5]])
E = np.array([[0.5], [-1.0]])


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "linear"])
def test_only_the_output_layer_gets_a_signal(activation):
    rule = Shallow(name="shallow")
    layers = (rule.hidden_layer(Layer(2, 3, activation)), Layer(3, 1, activation))
    W = [torch.tensor(w)[None] for w in (W1, W2)]
    part = HandPart(layers, W=W)
    passed = part.forward(torch.tensor(X)[None])
    deltas = rule.teaching_signals(torch.tensor(E)[None], None, passed, part)
    assert list(deltas) == [1]
    np.testing.assert_array_equal(deltas[1][0], E)  # (1)


def test_layers_are_the_models_but_fixed():
    model = Layer(2, 3, "tanh", "xavier_uniform", "zeros", 2.0)
    layer = Shallow(name="shallow").hidden_layer(model)
    assert layer == Layer(2, 3, "tanh", "xavier_uniform", "zeros", 2.0, trained=False)
