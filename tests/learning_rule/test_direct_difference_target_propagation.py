"""Axes: R rows, B batch, I fan-in, O fan-out. Layers are counted from 0."""

import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.direct_difference_target_propagation import (
    DirectDifferenceTargetPropagation,
)
from fabench.population.population import Row
from fabench.run.trainer import population_of

F = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "linear": lambda a: a}
every_activation = pytest.mark.parametrize("activation", F)
every_depth = pytest.mark.parametrize("widths", [(6, 5, 2), (6, 5, 4, 3, 2)], ids=str)


def ddtp(noise=0.3):
    return DirectDifferenceTargetPropagation(
        "direct_difference_target_propagation", noise, 0.5, 1, 0
    )


def part_of(net, xi):
    B = [net.normal(3, net.layers[-1].fan_out, layer.fan_out) for layer in net.layers[:-1]]
    return HandPart(net.layers, lambda stream, shape: xi, **vars(net.weights), B=B)


def answer(net, f, layer, h):
    """a_L of a hidden layer's activity h."""
    for n in range(layer + 1, len(net.layers)):
        h = h @ net.weights.W[n] + net.weights.b[n]
        h = h if n == len(net.layers) - 1 else f(h)
    return h


@every_activation
@every_depth
def test_signals_are_autograd_of_the_local_losses(draw_network, widths, activation):
    net, f = draw_network(widths, activation, bias=True), F[activation]
    part, e = part_of(net, None), net.y - 0.5
    passed = part.forward(net.x)
    deltas = ddtp().teaching_signals(e, net.y, passed, part)
    for layer in range(len(widths) - 2):
        h, V, target = passed.h[layer + 1], part[f"B{layer}"], passed.output - 0.7 * e
        a = passed.a[layer].clone().requires_grad_()
        (((f(a) - h - target @ V + passed.output @ V) ** 2).sum() / (2 * 0.7)).backward()
        assert a.grad.any()
        torch.testing.assert_close(deltas[layer], a.grad, rtol=1e-9, atol=1e-12)


@every_activation
@every_depth
def test_feedback_descends_autograd_of_its_loss(draw_network, widths, activation):
    net, f = draw_network(widths, activation, bias=True), F[activation]
    xi = net.normal(3, 4, sum(widths[1:-1]))
    part = part_of(net, xi)
    passed = part.forward(net.x)
    ddtp().adapt(part, passed, net.y, {})
    for layer, drawn in enumerate(xi.split(widths[1:-1], 2)):
        h, noisy = passed.h[layer + 1], passed.h[layer + 1] + 0.3 * drawn
        V = part[f"B{layer}"].clone().requires_grad_()
        again = h + answer(net, f, layer, noisy) @ V - answer(net, f, layer, h) @ V
        (((again - noisy) ** 2).sum() / 4).backward()
        g, rate = part.descended[f"B{layer}"]
        assert rate == 0.5
        assert V.grad.any()
        torch.testing.assert_close(g, V.grad, rtol=1e-9, atol=1e-12)


def test_feedback_comes_to_the_pseudo_inverse(make_config):
    """Of a linear network, from its hidden layers to its output."""
    config = make_config(
        learning_rule="direct_difference_target_propagation", task="classification",
        learning_rule__pretraining_epochs=10**6, learning_rule__noise=1.0,
        learning_rule__feedback_steps=1, model__activation="linear", model__hidden=[12, 10],
        optimizer__lr=0.1,
    )  # fmt: skip
    people = population_of(config, [Row(s, config.scalars()) for s in (0, 1)], torch.device("cpu"))
    for w in people.matrices("W"):
        w.copy_(torch.linalg.qr(w)[0])
    x = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    start = [w.clone() for w in people.matrices("W")]
    for _ in range(150):
        people.step(x, torch.eye(10)[torch.arange(64) % 10].expand(2, -1, -1))
    W = people.matrices("W")
    assert all(torch.equal(w, old) for w, old in zip(W, start, strict=True))
    for layer, J in enumerate((W[1] @ W[2], W[2])):  # h J is the output
        inverse = torch.linalg.pinv(J)
        off = (people.matrices("B")[layer] - inverse).flatten(1).norm(dim=1)
        assert (off < 0.15 * inverse.flatten(1).norm(dim=1)).all()
