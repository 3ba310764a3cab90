"""Axes: R rows, B batch, I fan-in, O fan-out. Layers are counted from 0."""

import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.simplified_difference_target_propagation import (
    SimplifiedDifferenceTargetPropagation,
)
from fabench.task.base import LOSSES

F = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "linear": lambda a: a}
PREDICTIONS = {
    "softmax_cross_entropy": lambda a: torch.softmax(a, -1),
    "sigmoid_cross_entropy": torch.sigmoid,
}
every_activation = pytest.mark.parametrize("activation", F)
every_loss = pytest.mark.parametrize("loss", PREDICTIONS)
every_depth = pytest.mark.parametrize("widths", [(6, 5, 3), (6, 5, 4, 3, 2)], ids=str)


def sdtp(stepsize=1.0):
    name = "simplified_difference_target_propagation"
    return SimplifiedDifferenceTargetPropagation(name, stepsize, 0.2, 0.5, 1, 0)


def part_of(net, loss, noise=None):
    B = [net.normal(3, layer.fan_out, layer.fan_in) for layer in net.layers[1:]]
    c = [net.normal(3, 1, layer.fan_in) for layer in net.layers[1:]]
    return HandPart(net.layers, noise, LOSSES[loss], **vars(net.weights), B=B, c=c)


@every_loss
@every_activation
@every_depth
def test_signals_are_autograd_of_the_local_losses(draw_network, widths, activation, loss):
    """Targets begin with the label itself."""
    net, f = draw_network(widths, activation, bias=True), F[activation]
    part = part_of(net, loss)
    passed, last = part.forward(net.x), len(widths) - 2
    e = net.normal(3, 4, widths[-1])  # of which nothing but the output layer hears
    deltas = sdtp().teaching_signals(e, net.y, passed, part)
    assert torch.equal(deltas[last], e)
    h, target = [*passed.h[1:-1], passed.h[-1], PREDICTIONS[loss](passed.output)], net.y
    for layer in reversed(range(last)):
        V, c = part[f"B{layer}"], part[f"c{layer}"]
        target = h[layer] + f(target @ V + c) - f(h[layer + 1] @ V + c)
        a = passed.a[layer].clone().requires_grad_()
        (((f(a) - target) ** 2).sum() / 2).backward()
        assert a.grad.any()
        torch.testing.assert_close(deltas[layer], a.grad, rtol=1e-9, atol=1e-12)


def test_a_small_stepsize_goes_through_the_inverses_derivative(draw_network):
    """As the signal of a cross-entropy does through transposed weights."""
    net = draw_network((6, 5, 3), "linear", bias=True)
    part = part_of(net, "softmax_cross_entropy")
    passed = part.forward(net.x)
    deltas = sdtp(1e-3).teaching_signals(net.y, net.y, passed, part)
    e = torch.softmax(passed.output, -1) - net.y
    torch.testing.assert_close(deltas[0], e @ part["B0"], rtol=1e-9, atol=1e-12)


@every_loss
@every_activation
@every_depth
def test_inverses_descend_autograd_of_their_losses(draw_network, widths, activation, loss):
    """They shall give back the activity without its noise."""
    net, f = draw_network(widths, activation, bias=True), F[activation]
    xi = net.normal(3, 4, sum(widths[1:-1]))
    part = part_of(net, loss, noise=lambda stream, shape: xi)
    passed = part.forward(net.x)
    sdtp().adapt(part, passed, net.y, {})
    for layer, drawn in enumerate(xi.split(widths[1:-1], 2), 1):
        h, g = passed.h[layer], PREDICTIONS[loss] if layer == len(widths) - 2 else f
        V, c = (part[f"{kind}{layer - 1}"].clone().requires_grad_() for kind in "Bc")
        up = g((h + 0.2 * drawn) @ net.weights.W[layer] + net.weights.b[layer])
        (((f(up @ V + c) - h) ** 2).sum() / 4).backward()
        for name, own in ((f"B{layer - 1}", V), (f"c{layer - 1}", c)):
            g, rate = part.descended[name]
            assert rate == 0.5
            assert own.grad.any()
            torch.testing.assert_close(g.double(), own.grad, rtol=1e-5, atol=1e-6)
