"""Axes: R rows, B batch, I fan-in, O fan-out. Layers are counted from 0."""

import numpy as np
import pytest
import torch
from by_hand import A1, A2, W1, W2, HandPart, X, stacked, with_inverses

from fabench.learning_rule.difference_target_propagation import DifferenceTargetPropagation
from fabench.population.metrics import update_alignment
from fabench.population.population import Row
from fabench.run.trainer import population_of
from fabench.schema import UserError

CPU = torch.device("cpu")
W3 = np.array([[2.0, 1.0], [-0.5, 0.0]])
E = np.array([[0.5, 1.0], [-1.0, 2.0]])
F = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "linear": lambda a: a,
}
every_activation = pytest.mark.parametrize("activation", F)
every_depth = pytest.mark.parametrize("widths", [(6, 5, 2), (6, 5, 4, 3, 2)], ids=str)


def dtp(**settings):
    defaults = {
        "stepsize": 0.5,
        "noise": 0.2,
        "feedback_rate": 0.5,
        "feedback_steps": 1,
        "pretraining_epochs": 0,
    }
    return DifferenceTargetPropagation("difference_target_propagation", **defaults | settings)


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


def signals(rule, net, part):
    """The rule's, for the error y - 1/2, and the forward pass."""
    passed = part.forward(net.x)
    return rule.teaching_signals(net.y - 0.5, net.y, passed, part), passed


# -- Targets ---------------------------------------------------------------------------------


def test_follows_the_equations_example_by_example_and_unit_by_unit():
    """The network of ReLUs, each inverse a loop over units."""
    V2, c2 = np.array([[0.5, -1.0, 2.0], [0.5, 1.0, -0.5]]), np.array([[0.1, 0.2, -0.3]])
    V3, c3 = np.array([[0.5, 0.25], [-0.5, 1.0]]), np.array([[-0.2, 0.4]])

    def g(h, V, c):  # (1)
        return [
            max(0.0, c[0, i] + sum(h[o] * V[o, i] for o in range(len(h))))
            for i in range(V.shape[1])
        ]

    W, B = stacked(W1, W2, W3), stacked(V2, V3)
    part = HandPart(W=W, B=B, c=stacked(c2, c3))
    passed = part.forward(torch.tensor(X)[None])
    deltas = dtp(stepsize=0.25).teaching_signals(torch.tensor(E)[None], None, passed, part)
    h1, h2 = np.maximum(A1, 0), np.maximum(A2, 0)
    h3 = h2 @ W3
    moved = 0
    for n in range(2):
        t3 = h3[n] - 0.25 * E[n]  # (2)
        t2 = h2[n] + g(t3, V3, c3) - np.array(g(h3[n], V3, c3))  # (3)
        t1 = h1[n] + g(t2, V2, c2) - np.array(g(h2[n], V2, c2))
        delta1, delta2 = (h1[n] - t1) * (A1[n] > 0) / 0.25, (h2[n] - t2) * (A2[n] > 0) / 0.25  # (4)
        for layer, expected in enumerate((delta1, delta2, E[n])):
            np.testing.assert_allclose(deltas[layer][0, n], expected, atol=1e-12)
            moved += np.count_nonzero(expected)
    assert moved > 6


@every_activation
@every_depth
def test_signals_are_autograd_of_the_local_losses(draw_network, widths, activation):
    net, rule, f = draw_network(widths, activation, bias=True), dtp(stepsize=0.3), F[activation]
    part = with_inverses(net)
    deltas, passed = signals(rule, net, part)
    assert sorted(deltas) == list(range(len(net.layers)))
    h = [*passed.h[1:], passed.output]
    targets = {len(h) - 1: passed.output - 0.3 * (net.y - 0.5)}
    for layer in reversed(range(len(h) - 1)):

        def g(up, layer=layer):
            return f(up @ part["B" + str(layer)] + part["c" + str(layer)])

        targets[layer] = h[layer] + g(targets[layer + 1]) - g(h[layer + 1])
    for layer, target in targets.items():
        a = passed.a[layer].clone().requires_grad_()
        own = a if layer == len(h) - 1 else f(a)
        (((own - target) ** 2).sum() / (2 * 0.3)).backward()
        assert a.grad.any()
        assert_same(deltas[layer], a.grad)


def test_exact_inverses_aim_at_what_gives_the_outputs_target(draw_network):
    """A linear network of square matrices: t_l is h_l - stepsize e (W_{l+1} ... W_L)^-1, and from
    it the layers above come to t_L."""
    net, rule = draw_network((4, 4, 4, 4), "linear", bias=True), dtp(stepsize=0.3)
    W, b = net.weights.W, net.weights.b
    inverses = [w.inverse() for w in W[1:]]
    shifts = [-bias @ inverse for bias, inverse in zip(b[1:], inverses, strict=True)]
    deltas, passed = signals(rule, net, with_inverses(net, inverses, shifts))
    e = net.y - 0.5
    assert_same(deltas[1], e @ W[2].inverse())
    assert_same(deltas[0], e @ (W[1] @ W[2]).inverse())
    for layer in range(2):
        h = passed.h[layer + 1] - 0.3 * deltas[layer]
        for w, bias in zip(W[layer + 1 :], b[layer + 1 :], strict=True):
            h = h @ w + bias
        assert_same(h, passed.output - 0.3 * e)


@every_depth
def test_a_linear_network_with_transported_weights_is_backpropagation(draw_network, widths):
    net, rule = draw_network(widths, "linear", bias=True), dtp()
    deltas, passed = signals(rule, net, with_inverses(net, rule.transported(net.weights.W)))
    exact = passed.carry(net.y - 0.5, dict(enumerate((w.mT for w in net.weights.W[1:]), 1)))
    for layer, delta in exact.items():
        assert_same(deltas[layer], delta)


def test_near_targets_go_through_the_inverses_derivative(draw_network):
    net = draw_network((6, 5, 4, 2), "tanh", bias=True)
    part = with_inverses(net)
    deltas, passed = signals(dtp(stepsize=1e-6), net, part)
    slope = [1 / torch.cosh(up @ part[f"B{n}"] + part[f"c{n}"]) ** 2
             for n, up in enumerate((passed.h[2], passed.output))]  # fmt: skip
    back2 = ((net.y - 0.5) @ part["B1"]) * slope[1]
    back1 = (back2 @ part["B0"]) * slope[0]
    for layer, back in enumerate((back1, back2)):
        expected = back / torch.cosh(passed.a[layer]) ** 2
        torch.testing.assert_close(deltas[layer], expected, rtol=1e-4, atol=1e-5)


# -- Inverses --------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@every_activation
@every_depth
def test_inverses_descend_autograd_of_their_losses(draw_network, widths, activation, bias):
    net, rule, f = draw_network(widths, activation, bias), dtp(noise=0.3), F[activation]
    xi = net.normal(3, 4, sum(widths[1:-1]))
    part = with_inverses(net, noise=lambda stream, shape: xi)
    passed = part.forward(net.x)
    rule.adapt(part, passed, net.y, {})
    drawn = xi.split(widths[1:-1], 2)
    last = len(net.layers) - 1
    assert part.descended.keys() == {f"{kind}{n}" for kind in "Bc" for n in range(last)}
    for layer in range(1, last + 1):
        h = passed.h[layer] + 0.3 * drawn[layer - 1]
        V, c = (part[f"{kind}{layer - 1}"].clone().requires_grad_() for kind in "Bc")
        up = h @ net.weights.W[layer] + (net.weights.b[layer] if bias else 0)
        again = f((up if layer == last else f(up)) @ V + c)
        (((again - h) ** 2).sum() / h.shape[1]).backward()
        for name, own in (("B", V), ("c", c)):
            g, rate = part.descended[f"{name}{layer - 1}"]
            assert rate == 0.5
            assert own.grad.any()
            if name == "B":
                assert_same(g, own.grad)
            else:  # summed in float32
                torch.testing.assert_close(g.double(), own.grad, rtol=1e-5, atol=1e-6)


def network(net, f, layer, h):
    """h_{layer+1}, ..., h_L of the layer's inputs h."""
    found = []
    for n in range(layer, len(net.layers)):
        h = h @ net.weights.W[n] + net.weights.b[n]
        h = h if n == len(net.layers) - 1 else f(h)
        found.append(h)
    return found


@every_activation
@every_depth
def test_difference_reconstruction_is_autograd_with_the_inverses_above_held(
    draw_network, widths, activation
):
    net, f, size = draw_network(widths, activation, bias=True), F[activation], 4
    rule, xi = dtp(noise=0.3, inverse_loss="difference"), net.normal(3, size, sum(widths[1:-1]))
    part = with_inverses(net, noise=lambda stream, shape: xi)
    passed = part.forward(net.x)
    rule.adapt(part, passed, net.y, {})
    for layer, own_xi in enumerate(xi.split(widths[1:-1], 2), 1):
        h, number = passed.h[layer], layer - 1
        V, c = (part[f"{kind}{number}"].clone().requires_grad_() for kind in "Bc")
        ups, target = network(net, f, layer, h), network(net, f, layer, h + 0.3 * own_xi)[-1]
        for n in reversed(range(layer, len(net.layers) - 1)):  # h_{n+1} from h_{n+2}
            B, b, above = part[f"B{n}"], part[f"c{n}"], ups[n + 1 - layer]
            target = ups[n - layer] + f(target @ B + b) - f(above @ B + b)
        target = h + f(target @ V + c) - f(ups[0] @ V + c)
        (((target - h - 0.3 * own_xi) ** 2).sum() / size).backward()
        for name, own in ((f"B{number}", V), (f"c{number}", c)):
            assert own.grad.any() or own is c  # which a line, or a ReLU that stays on, leaves
            assert part.descended[name][1] == 0.5
            assert_same(part.descended[name][0], own.grad)


@every_activation
@every_depth
def test_local_difference_reconstruction_is_autograd(draw_network, widths, activation):
    net, f, size = draw_network(widths, activation, bias=True), F[activation], 4
    drawn = {}

    def noise(stream, shape):
        return drawn.setdefault(stream, net.normal(3, *shape))

    part = with_inverses(net, noise=noise)
    passed = part.forward(net.x)
    dtp(noise=0.3, inverse_loss="local_difference").adapt(part, passed, net.y, {})
    assert len(drawn) == len(widths) - 1
    xi, *zetas = drawn.values()
    for layer, (own_xi, zeta) in enumerate(zip(xi.split(widths[1:-1], 2), zetas, strict=True), 1):
        h = passed.h[layer]
        V, c = (part[f"{kind}{layer - 1}"].clone().requires_grad_() for kind in "Bc")
        up, moved = (network(net, f, layer, x)[0] for x in (h, h + 0.3 * own_xi))
        r = f(up @ V + c)
        below = -2 * (0.3 * own_xi * (f(moved @ V + c) - r)).sum()
        above = ((f((up + 0.3 * zeta) @ V + c) - r) ** 2).sum()
        ((below + above) / size).backward()
        for name, own in ((f"B{layer - 1}", V), (f"c{layer - 1}", c)):
            assert own.grad.any() or own is c  # which a line, or a ReLU that stays on, leaves
            assert_same(part.descended[name][0], own.grad)


def test_every_inverse_step_has_noise_of_its_own(draw_network):
    net, streams = draw_network((6, 5, 4, 2)), []
    part = with_inverses(
        net, noise=lambda stream, shape: streams.append(stream) or net.normal(3, *shape)
    )
    dtp(feedback_steps=3).adapt(part, part.forward(net.x), net.y, {})
    assert len(streams) == len(set(streams)) == 3


# -- In training -----------------------------------------------------------------------------


@pytest.fixture
def configure(make_config):
    def make(**settings):
        base = {
            "learning_rule": "difference_target_propagation", "optimizer__lr": 0.05, "k": 1,
            "model__hidden": [12, 8], "model__activation": "tanh", "model__bias": True,
        }  # fmt: skip
        return make_config(**{**base, **settings})

    return make


def population(config, seeds=(0, 1, 2), **scalars):
    return population_of(config, [Row(s, config.scalars() | scalars) for s in seeds], CPU)


def batch(R=3, N=64):
    x = torch.randn(R, N, 64, generator=torch.Generator().manual_seed(0))
    return x, (x[..., :1] > 0).float()


def test_in_pretraining_only_the_inverses_learn(configure):
    """Forty examples in batches of 16: three steps an epoch."""
    people = population(configure(learning_rule__pretraining_epochs=2))
    x, y = batch()
    start = {name: tensor.clone() for name, tensor in people.tensors.items()}
    for _ in range(6):
        people.step(x, y)
    part = people.part(slice(None))
    assert update_alignment(part, x, y)["update_alignment"].isnan().all()
    moved = {n for n, tensor in people.tensors.items() if not torch.equal(tensor, start[n])}
    assert moved == {"B0", "B1", "c0", "c1"}
    people.step(x, y)
    moved = {n for n, tensor in people.tensors.items() if not torch.equal(tensor, start[n])}
    assert moved == set(start)
    part = people.part(slice(None))
    assert update_alignment(part, x, y)["update_alignment"].isfinite().all()


def test_without_steps_the_inverses_stay_as_they_were_drawn(configure):
    people = population(configure(learning_rule__feedback_steps=0))
    x, y = batch()
    start = {name: tensor.clone() for name, tensor in people.tensors.items()}
    for _ in range(3):
        people.step(x, y)
    moved = {n for n, tensor in people.tensors.items() if not torch.equal(tensor, start[n])}
    assert moved == {f"{kind}{layer}" for kind in "Wb" for layer in range(3)}
    assert people.snapshot(slice(None)).keys() == moved


def test_local_differences_bring_the_inverses_to_the_transposed_weights(configure):
    """Of a linear network, and not to its inverse."""
    people = population(configure(
        learning_rule__pretraining_epochs=1000, learning_rule__noise=1.0,
        learning_rule__inverse_loss="local_difference", model__activation="linear",
    ))  # fmt: skip
    x, y = batch()
    for _ in range(60):
        people.step(x, y)
    for b, w in people.rule.alignment_pairs(people.matrices("W"), people.matrices("B")):
        assert ((b - w).flatten(1).norm(dim=1) < 0.2 * w.flatten(1).norm(dim=1)).all()


def test_the_setting_that_came_later_is_no_part_of_the_identity(configure):
    config, other = configure(), configure(learning_rule__inverse_loss="difference")
    assert "inverse_loss" not in config.science()["learning_rule"]
    assert other.science()["learning_rule"]["inverse_loss"] == "difference"
    assert config.resolved()["learning_rule"]["inverse_loss"] == "reconstruction"


def test_untrained_weights_are_measured_as_they_learn(configure):
    """Before training it is epoch 1, not one of no pretraining."""
    part = population(configure()).part(slice(None))
    assert part.epoch == 1
    assert update_alignment(part, *batch())["update_alignment"].isfinite().all()


def test_inverses_come_to_undo_their_layers(configure):
    people = population(configure(learning_rule__pretraining_epochs=1000, optimizer="adam"))

    def loss():
        part = people.part(slice(None))
        h = part.forward(x).h[1:]
        deltas = [part.rule.reconstruction(part, n, h[n - 1], h[n - 1])[0].h for n in (1, 2)]
        return [((torch.tanh(up @ part[f"B{n}"] + part[f"c{n}"]) - h[n]) ** 2).mean((1, 2))
                for n, up in enumerate(deltas)]  # fmt: skip

    x, y = batch()
    before = loss()
    for _ in range(60):
        people.step(x, y)
    for was, now in zip(before, loss(), strict=True):
        assert (now < 0.8 * was).all()
    assert (loss()[0] < 0.4 * before[0]).all()


def test_rows_have_numbers_of_their_own(configure):
    config = configure()
    keys = [f"learning_rule.{name}" for name in ("stepsize", "noise", "feedback_rate")]
    own = [(0.01, 0.1, 1.0), (0.2, 0.1, 3.0), (0.01, 0.0, 0.3)]
    rows = [Row(3, config.scalars() | dict(zip(keys, numbers, strict=True))) for numbers in own]
    together = population_of(config, rows, CPU)
    x, y = batch()
    for _ in range(4):
        together.step(x[:1], y)
    for r, row in enumerate(rows):
        alone = population_of(config, [row], CPU)
        for _ in range(4):
            alone.step(x[:1], y[r : r + 1])
        for name, tensor in alone.tensors.items():
            torch.testing.assert_close(together.tensors[name][r : r + 1], tensor)
    for name in ("W0", "B0", "c0"):
        first, second, third = together.tensors[name]
        assert not torch.equal(first, second)
        assert not torch.equal(first, third)


def test_near_targets_are_not_lost_in_rounding(configure, monkeypatch):
    """Signals are proportional to a small error, and the same in bf16."""
    settings = {"learning_rule__stepsize": 1e-3, "model__hidden": [32, 32]}
    full = population(configure(**settings))
    monkeypatch.setattr("fabench.population.precision.cpu_has_bf16", lambda: True)
    half = population(configure(**settings, trainer__precision="bf16"))
    x, y = batch()
    found = []
    for people, size in ((full, 1), (full, 1e-6), (half, 1), (half, 1e-6)):
        part = people.part(slice(None))
        passed = part.forward(people.operand(x))
        e = part.as_operand(size * part.error(passed.output, y))
        found.append(part.rule.teaching_signals(e, part.as_operand(y), passed, part))
    for deltas in found[1:]:
        for layer in range(3):
            one, other = (deltas[layer].float().flatten(1) for deltas in (found[0], deltas))
            assert (torch.cosine_similarity(one, other) > 0.999).all()


def test_it_is_not_defined_for_convolutions(configure):
    with pytest.raises(UserError, match="is not defined for convolutions"):
        configure(model="lenet", task="classification")
