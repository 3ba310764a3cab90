"""Axes: R rows, B batch, I fan-in, O fan-out. Layers are counted from 0."""

import pytest
import torch
from by_hand import with_inverses

from fabench.learning_rule.target_propagation import TargetPropagation
from fabench.population.population import Row
from fabench.run.trainer import population_of

F = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "linear": lambda a: a}
every_activation = pytest.mark.parametrize("activation", F)
every_depth = pytest.mark.parametrize("widths", [(6, 5, 2), (6, 5, 4, 3, 2)], ids=str)


def tp(stepsize=0.3, feedback_steps=1):
    return TargetPropagation("target_propagation", stepsize, 0.2, 0.5, feedback_steps, 0)


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


@every_activation
@every_depth
def test_signals_are_autograd_of_the_local_losses(draw_network, widths, activation):
    net, f = draw_network(widths, activation, bias=True), F[activation]
    part = with_inverses(net)
    passed, e = part.forward(net.x), net.y - 0.5
    deltas = tp().teaching_signals(e, net.y, passed, part)
    target = passed.output - 0.3 * e
    for layer in reversed(range(len(widths) - 1)):
        a = passed.a[layer].clone().requires_grad_()
        own = a if layer == len(widths) - 2 else f(a)
        (((own - target) ** 2).sum() / (2 * 0.3)).backward()
        assert a.grad.any()
        assert_same(deltas[layer], a.grad)
        if layer:
            target = f(target @ part[f"B{layer - 1}"] + part[f"c{layer - 1}"])


def test_targets_are_what_gives_the_outputs_target_if_inverses_are_exact(draw_network):
    """A network of square matrices and tanh: from t_l the layers above come to t_L."""
    net = draw_network((4, 4, 4, 4), "linear", bias=True)
    W, b = net.weights.W, net.weights.b
    inverses = [w.inverse() for w in W[1:]]
    shifts = [-bias @ inverse for bias, inverse in zip(b[1:], inverses, strict=True)]
    part, e = with_inverses(net, inverses, shifts), net.y - 0.5
    passed = part.forward(net.x)
    deltas = tp().teaching_signals(e, net.y, passed, part)
    for layer in range(2):
        h = passed.h[layer + 1] - 0.3 * deltas[layer]
        for w, bias in zip(W[layer + 1 :], b[layer + 1 :], strict=True):
            h = h @ w + bias
        assert_same(h, passed.output - 0.3 * e)


@every_activation
@every_depth
def test_inverses_descend_autograd_of_their_losses(draw_network, widths, activation):
    """They shall give back the activity with its noise."""
    net, f = draw_network(widths, activation, bias=True), F[activation]
    xi = net.normal(3, 4, sum(widths[1:-1]))
    part = with_inverses(net, noise=lambda stream, shape: xi)
    passed = part.forward(net.x)
    tp().adapt(part, passed, net.y, {})
    for layer, drawn in enumerate(xi.split(widths[1:-1], 2), 1):
        h = passed.h[layer] + 0.2 * drawn
        V, c = (part[f"{kind}{layer - 1}"].clone().requires_grad_() for kind in "Bc")
        up = h @ net.weights.W[layer] + net.weights.b[layer]
        up = up if layer == len(widths) - 2 else f(up)
        (((f(up @ V + c) - h) ** 2).sum() / 4).backward()
        for name, own in ((f"B{layer - 1}", V), (f"c{layer - 1}", c)):
            g, rate = part.descended[name]
            assert rate == 0.5
            assert own.grad.any()
            torch.testing.assert_close(g.double(), own.grad, rtol=1e-5, atol=1e-6)


def test_without_steps_nothing_is_learned_of_the_inverses(draw_network):
    part = with_inverses(net := draw_network((6, 5, 4, 2)))
    rule = tp(feedback_steps=0)
    rule.adapt(part, part.forward(net.x), net.y, {})
    assert not part.descended
    assert not rule.learned_feedback(net.layers)
    assert {p.moves for p in rule.other_parameters(net.layers).values()} == {"never"}


def test_the_loss_falls_once_inverses_are_good(make_config):
    """Forty examples in batches of 16: three steps an epoch."""
    config = make_config(
        learning_rule="target_propagation", model__hidden=[16, 12], model__activation="tanh",
        learning_rule__pretraining_epochs=30, optimizer="adam", optimizer__lr=0.02, k=1,
    )  # fmt: skip
    people = population_of(config, [Row(s, config.scalars()) for s in (0, 1)], torch.device("cpu"))
    x = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    x[..., 0] *= 4
    y, value = (x[..., :1] > 0).float(), people.task.objective.value
    losses = torch.stack([value(people.step(x, y), y).mean(1) for _ in range(130)])
    assert torch.equal(losses[0], losses[89])
    assert (losses[-1] < 0.7 * losses[89]).all()
