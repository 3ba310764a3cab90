"""Oracle: targets step by step, with torch.autograd for the derivatives, in float64.

Axes: R rows, B batch, I fan-in, O fan-out. Layers are counted from 0.
"""

import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.local_representation_alignment import LocalRepresentationAlignment
from fabench.model.convnet import Convnet
from fabench.population.population import Row
from fabench.run.trainer import population_of
from fabench.task.base import LOSSES

F = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "linear": lambda a: a}
every_feedback = pytest.mark.parametrize("feedback", ["learned", "fixed", "derivative"])
every_activation = pytest.mark.parametrize("activation", F)
every_depth = pytest.mark.parametrize("widths", [(6, 5, 2), (6, 5, 4, 3, 2)], ids=str)


def lra(feedback, beta=0.3, steps=1):
    return LocalRepresentationAlignment(
        "local_representation_alignment", feedback, beta, steps, 0.5
    )


def part_of(net, feedback, E=None):
    E = E or [net.normal(3, layer.fan_out, layer.fan_in) for layer in net.layers[1:]]
    B = {} if feedback == "derivative" else {"B": E}
    objective = LOSSES["sigmoid_cross_entropy"]
    return HandPart(net.layers, objective=objective, **vars(net.weights), **B)


def signals(rule, net, part):
    """The rule's, by layer, and the forward pass."""
    passed = part.forward(net.x)
    e = part.error(passed.output, net.y)
    return rule.teaching_signals(e, net.y, passed, part), passed


@every_feedback
@every_activation
@every_depth
@pytest.mark.parametrize("steps", [1, 3])
def test_targets_follow_a_loop(draw_network, widths, activation, feedback, steps):
    net, f = draw_network(widths, activation, bias=True), F[activation]
    part, last = part_of(net, feedback), len(widths) - 2
    deltas, passed = signals(lra(feedback, steps=steps), net, part)
    target = None
    for layer in reversed(range(last)):
        u, W, b = passed.a[layer], net.weights.W[layer + 1], net.weights.b[layer + 1]
        for _ in range(steps):
            u = u.detach().requires_grad_()
            above = f(u) @ W + b
            if layer + 1 == last:
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    above, net.y, reduction="sum"
                )
                error = above.sigmoid() - net.y
            else:
                loss = ((f(above) - target) ** 2).sum() / 2
                error = f(above) - target
            if feedback == "derivative":
                [d] = torch.autograd.grad(loss, u)
            else:
                d = error @ part[f"B{layer}"]
            u = u - 0.3 * d
        target = f(u).detach()
        a = passed.a[layer].clone().requires_grad_()
        expected = f(a) - target
        if feedback == "derivative":
            [expected] = torch.autograd.grad((expected**2).sum() / 2, a)
        assert expected.any()
        torch.testing.assert_close(deltas[layer], expected.detach(), rtol=1e-6, atol=1e-13)


@every_feedback
@pytest.mark.parametrize("steps", [1, 3])
def test_convolutions_have_targets_too(feedback, steps):
    """Two of them with pooling, whose forward passes torch differentiates, then dense layers."""
    settings = {"name": "convnet", "channels": [4, 5], "kernel": 3, "padding": 1, "pool": 2,
                "pool_stride": 2, "hidden": [6], "activation": "tanh", "bias": True,
                "weight_init": "torch_uniform", "weight_scale": 1.0, "input_dropout": 0.0,
                "hidden_dropout": 0.0}  # fmt: skip
    layers = Convnet(**settings).layers((2, 8, 8), 1, 3)
    rng = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    own = {
        "W": [normal(3, layer.fan_in, layer.fan_out) / layer.fan_in**0.5 for layer in layers],
        "b": [normal(3, 1, layer.fan_out) for layer in layers],
    }
    if feedback != "derivative":
        own["B"] = [normal(3, layer.fan_out, layer.fan_in) for layer in layers[1:]]
    part = HandPart(layers, objective=LOSSES["squared_error"], **own)
    x, y = normal(3, 4, 128), normal(3, 4, 3)
    rule, passed = lra(feedback, steps=steps), part.forward(x)
    deltas = rule.teaching_signals(passed.output - y, y, passed, part)
    target = y
    for layer in reversed(range(3)):
        u, above, W = passed.a[layer], layers[layer + 1], part[f"W{layer + 1}"]
        for _ in range(steps):
            u = u.detach().requires_grad_()
            a, _ = above.preactivation(u.tanh(), W, part[f"b{layer + 1}"])
            error = (a if layer == 2 else a.tanh()) - target
            if feedback == "derivative":
                ((error**2).sum() / 2).backward()
                u = u - 0.3 * u.grad
            else:
                _, places = above.preactivation(u.tanh(), W, part[f"b{layer + 1}"])
                back = above.back(error, part[f"B{layer}"], places)
                u = u - 0.3 * back.reshape(u.shape)
        target = u.tanh().detach()
        a = passed.a[layer]
        expected = a.tanh() - target
        if feedback == "derivative":
            expected = expected * (1 - a.tanh() ** 2)
        torch.testing.assert_close(deltas[layer], expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("feedback", ["fixed", "derivative"])
def test_a_linear_network_backpropagates_less_and_less(draw_network, feedback):
    net = draw_network((6, 5, 4, 2), "linear", bias=True)
    part = part_of(net, feedback, [w.mT for w in net.weights.W[1:]])
    deltas, passed = signals(lra(feedback, beta=0.01), net, part)
    exact = passed.carry(deltas[2], dict(enumerate((w.mT for w in net.weights.W[1:]), 1)))
    torch.testing.assert_close(deltas[1], 0.01 * exact[1])
    torch.testing.assert_close(deltas[0], 0.0001 * exact[0])


@every_feedback
def test_only_learned_error_weights_descend_the_transposed_update(draw_network, feedback):
    net, rule = draw_network((6, 5, 4, 2), "tanh", bias=True), lra(feedback)
    part = part_of(net, feedback)
    deltas, passed = signals(rule, net, part)
    rule.adapt(part, passed, deltas[2], deltas)
    assert part.descended.keys() == ({"B0", "B1"} if feedback == "learned" else set())
    for name, (g, rate) in part.descended.items():
        layer = int(name[1:]) + 1
        expected = torch.einsum("rbo,rbi->roi", deltas[layer], passed.h[layer]) / 4
        torch.testing.assert_close(g, expected)
        assert rate == 0.5


@every_feedback
def test_units_that_are_dropped_get_no_signal(draw_network, feedback):
    net = draw_network((6, 5, 4, 2), "tanh", bias=True)
    part = part_of(net, feedback)
    part.masks = [None, (net.normal(3, 4, 5) > 0).double() / 0.5, None]
    for steps in (1, 3):
        deltas, _ = signals(lra(feedback, steps=steps), net, part)
        assert ((deltas[0] != 0) == (part.masks[1] > 0)).all()


def test_derivatives_have_no_matrices(make_config):
    config = make_config(
        learning_rule="local_representation_alignment", learning_rule__feedback="derivative",
        model__hidden=[6, 5], learning_rule__steps=2,
    )  # fmt: skip
    people = population_of(config, [Row(0, config.scalars())], torch.device("cpu"))
    assert people.tensors.keys() == {"W0", "W1", "W2"}
