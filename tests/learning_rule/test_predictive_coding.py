"""Oracle: torch.autograd of the energy, in float64.

Axes: R rows, B batch, I fan-in, O fan-out. Layers are counted from 0.
"""

import pytest
import torch
from by_hand import HandPart
from torch.nn import functional

from fabench.learning_rule.predictive_coding import PredictiveCoding
from fabench.schema import UserError
from fabench.task.base import LOSSES

F = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "linear": lambda a: a}
every_activation = pytest.mark.parametrize("activation", F)
every_depth = pytest.mark.parametrize("widths", [(6, 2), (6, 5, 2), (6, 5, 4, 3)], ids=str)


def loss(a, y):
    return functional.binary_cross_entropy_with_logits(a, y, reduction="sum")


def learned(net, steps, dt=0.1, y=None):
    """What the rule lets descend, by name, and its output."""
    objective = LOSSES["sigmoid_cross_entropy"]
    part = HandPart(net.layers, objective=objective, **vars(net.weights))
    output = PredictiveCoding("predictive_coding", dt, steps).learn(
        part, net.x, net.y if y is None else y
    )
    return {name: g for name, (g, _) in part.descended.items()}, output


def preactivations(net, s, W, b):
    inputs = zip([net.x, *s], W, b, strict=True)
    return [h @ w + (0 if v is None else v) for h, w, v in inputs]


def energy(net, f, s, W, b):
    *a, output = preactivations(net, s, W, b)
    apart = [((own - f(below)) ** 2).sum() / 2 for own, below in zip(s, a, strict=True)]
    return loss(output, net.y) + sum(apart)


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@every_activation
@every_depth
def test_activities_and_weights_descend_autograd_of_the_energy(
    draw_network, widths, activation, bias
):
    net, f = draw_network(widths, activation, bias), F[activation]
    W = [w.clone().requires_grad_() for w in net.weights.W]
    b = [None if v is None else v.clone().requires_grad_() for v in net.weights.b]
    passed = HandPart(net.layers, **vars(net.weights)).forward(net.x)
    s = [h.clone().requires_grad_() for h in passed.h[1:]]
    for _ in range(3):
        moves = torch.autograd.grad(energy(net, f, s, W, b), s) if s else []
        s = [(own - 0.1 * g).detach().requires_grad_() for own, g in zip(s, moves, strict=True)]
    energy(net, f, s, W, b).backward()
    found, output = learned(net, 3)
    assert torch.equal(output, passed.output)
    assert len(found) == len(net.layers) * (2 if bias else 1)
    for n, (w, v) in enumerate(zip(W, b, strict=True)):
        assert w.grad.abs().max() > 1e-3
        torch.testing.assert_close(found[f"W{n}"], w.grad / 4, rtol=1e-9, atol=1e-12)
        if bias:
            torch.testing.assert_close(
                found[f"b{n}"].double(), v.grad.sum(1, keepdim=True) / 4, rtol=1e-5, atol=1e-6
            )


def test_settling_ends_where_the_energy_is_least(draw_network):
    net = draw_network((6, 5, 4, 2), "sigmoid", bias=True)
    for name, g in learned(net, 300)[0].items():
        torch.testing.assert_close(learned(net, 301)[0][name], g, rtol=1e-6, atol=1e-9)
    first = learned(net, 1)[0]["W1"]
    assert not torch.allclose(first, learned(net, 300)[0]["W1"], rtol=0.01)


def test_at_rest_a_linear_network_backpropagates_what_is_left_of_the_error(draw_network):
    """Of unit variances: e (I + sum_l J_l^T J_l)^-1, J_l being the output's derivative in s_l."""
    net = draw_network((6, 5, 4, 3), "linear", bias=True)
    part = HandPart(net.layers, objective=LOSSES["squared_error"], **vars(net.weights))
    output = PredictiveCoding("predictive_coding", 0.02, 3000).learn(part, net.x, net.y)
    W = net.weights.W
    J = [W[1] @ W[2], W[2]]
    left = (output - net.y) @ (torch.eye(3) + sum(j.mT @ j for j in J)).inverse()
    expected = net.x.mT @ left @ J[0].mT / 4
    torch.testing.assert_close(part.descended["W0"][0], expected, rtol=1e-4, atol=1e-5)
    expected = (left @ J[1].mT).mean(1, keepdim=True)
    torch.testing.assert_close(part.descended["b1"][0].double(), expected, rtol=1e-5, atol=1e-6)


def test_rows_are_apart(draw_network):
    net = draw_network((6, 5, 4, 2), "tanh", bias=True)
    clean, _ = learned(net, 5)
    for tensor in [net.x, *net.weights.W, *net.weights.b]:
        tensor[1] = torch.nan
    found, _ = learned(net, 5)
    for name, g in clean.items():
        assert torch.equal(found[name][[0, 2]], g[[0, 2]])
        assert found[name][1].isnan().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "convnet"}, "is not defined for convolutions"),
        ({"model__hidden_dropout": 0.1}, "is not defined for dropout"),
        ({"trainer__adversarial": 0.1}, "sends no error back to the inputs"),
    ],
    ids=str,
)
def test_what_it_refuses(make_config, settings, message):
    with pytest.raises(UserError, match=message):
        make_config(learning_rule="predictive_coding", k=1, **settings)
