"""Axes: R rows, B batch, I fan-in, O fan-out. Layers are counted from 0."""

import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.fdfa import Fdfa
from fabench.population.population import Row
from fabench.run.trainer import population_of

F = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "linear": lambda a: a}
every_activation = pytest.mark.parametrize("activation", F)
every_depth = pytest.mark.parametrize("widths", [(6, 5, 2), (6, 5, 4, 3, 2)], ids=str)


@every_activation
@every_depth
def test_feedback_descends_torchs_forward_derivative(draw_network, widths, activation):
    net, f = draw_network(widths, activation, bias=True), F[activation]
    xi = net.normal(3, 4, sum(widths[1:-1]))
    B = [net.normal(3, widths[-1], n) for n in widths[1:-1]]
    part = HandPart(net.layers, lambda stream, shape: xi, **vars(net.weights), B=B)
    Fdfa("fdfa", 0.5).adapt(part, part.forward(net.x), net.y, {})
    v = xi.split(widths[1:-1], 2)

    def output(*changes):
        h = net.x
        for n, (W, b) in enumerate(zip(net.weights.W, net.weights.b, strict=True)):
            h = h @ W + b
            h = f(h) + changes[n] if n < len(changes) else h
        return h

    zeros = tuple(torch.zeros_like(own) for own in v)
    _, j = torch.autograd.functional.jvp(output, zeros, tuple(v))
    for layer, own in enumerate(v):
        mean = sum(torch.einsum("rc,rn->rcn", j[:, i], own[:, i]) for i in range(4)) / 4
        g, rate = part.descended[f"B{layer}"]
        assert rate == 0.5
        torch.testing.assert_close(g, B[layer] - mean, rtol=1e-9, atol=1e-12)


def test_signals_are_those_of_direct_feedback(draw_network):
    net = draw_network((6, 5, 4, 2), "tanh", bias=True)
    B, e = [net.normal(3, 2, n) for n in (5, 4)], net.y - 0.5
    passed = HandPart(net.layers, **vars(net.weights)).forward(net.x)
    part = HandPart(net.layers, **vars(net.weights), B=B)
    deltas = Fdfa("fdfa", 1.0).teaching_signals(e, net.y, passed, part)
    assert torch.equal(deltas[2], e)
    for layer in range(2):
        expected = torch.einsum("rbc,rcn->rbn", e, B[layer]) / torch.cosh(passed.a[layer]) ** 2
        torch.testing.assert_close(deltas[layer], expected, rtol=1e-9, atol=1e-12)


def test_feedback_comes_to_the_transposed_linear_path(make_config):
    """In a linear network whose weights stay: SGD's weights move little at this rate."""
    config = make_config(
        learning_rule="fdfa", learning_rule__feedback_rate=1e4, model__activation="linear",
        model__hidden=[6, 5], optimizer__lr=2e-6, k=1,
    )  # fmt: skip
    people = population_of(config, [Row(s, config.scalars()) for s in (0, 1)], torch.device("cpu"))
    x = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    for _ in range(300):
        people.step(x, (x[..., :1] > 0).float())
    for b, exact in zip(
        people.matrices("B"), people.rule.transported(people.matrices("W")), strict=True
    ):
        far = (b - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
        assert (far < 0.2).all()
