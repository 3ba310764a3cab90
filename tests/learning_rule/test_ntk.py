import numpy as np
import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.ntk import Ntk
from fabench.model.layer.network import Layer
from fabench.population.population import Row
from fabench.run.registry import build
from fabench.run.trainer import population_of
from fabench.schema import UserError

X = np.array([[1.0, -2.0], [0.5, 1.0]])
W1, G1 = (
    np.array([[0.5, -1.0, 1.0], [0.25, 2.0, -1.0]]),
    np.array([[3.0, 1.0, 0.0], [1.0, 2.0, 1.0]]),
)
W2 = np.array([[1.0, 2.0], [-3.0, 1.0], [0.5, 0.5]])
E = np.array([[0.5, 1.0], [-1.0, 2.0]])
GATES = {"step": lambda g: np.where(g > 0, 1.0, 0.0), "sigmoid": lambda g: 1 / (1 + np.exp(-g))}


@pytest.mark.parametrize("gate", GATES)
def test_follows_the_equations(gate):
    """2-3-2 units."""
    rule = Ntk(name="ntk", gate=gate)
    W, G = [torch.tensor(w)[None] for w in (W1, W2)], [torch.tensor(G1)[None]]
    layers = (rule.hidden_layer(Layer(2, 3, "relu")), Layer(3, 2, "relu"))
    part = HandPart(layers, W=W, G=G)
    passed = part.forward(torch.tensor(X)[None])
    deltas = rule.teaching_signals(torch.tensor(E)[None], None, passed, part)

    gates = GATES[gate](X @ G1)
    np.testing.assert_allclose(passed.output[0], (X @ W1 * gates) @ W2, rtol=1e-12)  # (1)
    np.testing.assert_allclose(deltas[0][0], (E @ W2.T) * gates, rtol=1e-12)  # (2)
    np.testing.assert_array_equal(deltas[1][0], E)


def test_the_step_gate_opens_above_zero():
    gates = X @ G1
    np.testing.assert_array_equal(gates, [[1, -3, -2], [2.5, 2.5, 1]])
    layers = (Ntk(name="ntk", gate="step").hidden_layer(Layer(2, 3)), Layer(3, 2))
    G = torch.tensor(G1)[None]
    G[0, :, 2] = 0  # never above zero
    part = HandPart(layers, W=[torch.tensor(w)[None] for w in (W1, W2)], G=[G])
    passed = part.forward(torch.tensor(X)[None])
    np.testing.assert_array_equal(passed.gates[0][0], [[1, 0, 0], [1, 1, 0]])
    np.testing.assert_array_equal(passed.h[1][0], [[0, 0, 0], [0.5, 1.5, 0]])


def test_gates_are_drawn_as_weights_are_but_not_as_these_weights(make_config):
    config = make_config(learning_rule="ntk", model__hidden=[500], model__weight_scale=3.0, k=1)
    people = population_of(config, [Row(s, config.scalars()) for s in (0, 1)], torch.device("cpu"))
    W, [G] = people.matrices("W")[0], people.matrices("G")
    bound = 3 / 8  # scale / sqrt(64 inputs)
    assert 0.99 * bound < G.abs().max() <= bound
    n = G.numel()
    assert abs((W * G).mean() / bound**2 * 3) < 5 / n**0.5  # uncorrelated: W, G of sd bound/√3
    assert abs((G[0] * G[1]).mean() / bound**2 * 3) < 5 / (n / 2) ** 0.5


def test_there_are_two_gates():
    for gate in ("relu", None, 1):
        with pytest.raises(UserError, match=r"^learning_rule\.gate="):
            build("learning_rule", {"name": "ntk", "gate": gate})
