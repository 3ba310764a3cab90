"""Random residual and batch-normalised networks, against autograd, network by network.

Axes: R rows, B batch.
"""

import numpy as np
import pytest
import torch
from by_hand import HandPart
from torch.nn import functional as F

from fabench.model.layer.network import ACTIVATIONS, Layer, is_chain
from fabench.model.layer.normalization import EPSILON, MOMENTUM
from fabench.run import registry

R, B, WIDTH, CLASSES = 2, 5, 4, 3
GRAPHS = {  # what layer 1, 2, ... reads, and what is added to it
    "chain": ([0, 1, 2], [(), (), ()]),
    "blocks": ([0, 1, 2, 3, 4], [(), (0,), (), (2,), ()]),
    "projection": ([0, 0, 1, 3], [(), (), (2,), ()]),
    "dense sums": ([0, 1, 2, 3], [(0,), (0, 1), (0, 1, 2), ()]),
    "two readers": ([0, 0, 1, 2, 4], [(), (), (), (2, 3), ()]),
}
NORMS = {"plain": lambda number: False, "normalised": bool, "all normalised": lambda number: True}
KNOWN = {  # written out
    "relu": lambda a: a * (a > 0),
    "leaky_relu": lambda a: torch.where(a > 0, a, 0.01 * a),
    "elu": lambda a: torch.where(a > 0, a, a.exp() - 1),
    "gelu": lambda a: a * (1 + torch.erf(a / 2**0.5)) / 2,
    "softplus": lambda a: (1 + a.exp()).log(),
    "hard_sigmoid": lambda a: (a / 6 + 0.5).clamp(0, 1),
    "tanh": lambda a: 2 / (1 + (-2 * a).exp()) - 1,
    "sigmoid": lambda a: 1 / (1 + (-a).exp()),
    "linear": lambda a: a * 1,
    "cos": lambda a: torch.sin(a + torch.pi / 2),
}
every_graph = pytest.mark.parametrize("graph", GRAPHS)
every_norm = pytest.mark.parametrize("norm", NORMS)
modes = pytest.mark.parametrize("training", [True, False], ids=["training", "test"])


def draw(graph, norm):
    """Layers, and parameters, input and targets in float64."""
    reads, adds = GRAPHS[graph]
    last = len(reads)
    read = {0, *reads}
    activations = ["tanh" if number in read else "linear" for number in range(last + 1)]
    layers = tuple(
        Layer(
            WIDTH, CLASSES if number == last else WIDTH, activations[number],
            bias_init=None if number % 2 else "zeros",
            reads=reads[number - 1] if number else None,
            adds=adds[number - 1] if number else (),
            batch_norm=NORMS[norm](number) and number in read and number < last,
        )
        for number in range(last + 1)
    )  # fmt: skip
    rng = np.random.default_rng(0)

    def normal(*shape):
        return torch.from_numpy(rng.normal(size=shape))

    parameters = {"W": [], "b": [], "gain": [], "shift": [], "mean": [], "variance": []}
    for layer in layers:
        parameters["W"].append(normal(R, WIDTH, layer.fan_out) / 2)
        parameters["b"].append(normal(R, 1, layer.fan_out))
        for name in ("gain", "shift", "mean"):
            parameters[name].append(normal(R, 1, layer.fan_out))
        parameters["variance"].append(1 + normal(R, 1, layer.fan_out) ** 2)
    y = F.one_hot(torch.from_numpy(rng.integers(CLASSES, size=(R, B))), CLASSES).double()
    return layers, parameters, normal(R, B, WIDTH), y


class FeedbackProduct(torch.autograd.Function):
    """h W, whose gradient in h is sent through B."""

    @staticmethod
    def forward(ctx, h, W, feedback):
        ctx.save_for_backward(h, feedback)
        return h @ W

    @staticmethod
    def backward(ctx, delta):
        h, feedback = ctx.saved_tensors
        return delta @ feedback, h.T @ delta, None


def shown(layer, number, s, p, r, training):
    """f(norm(s)) of one network, by torch."""
    if layer.batch_norm:
        running = p["mean"][number][r, 0].clone(), p["variance"][number][r, 0].clone()
        s = F.batch_norm(s, *running, p["gain"][number][r, 0], p["shift"][number][r, 0],
                         training, MOMENTUM, EPSILON)  # fmt: skip
    return torch.tanh(s) if layer.activation == "tanh" else s


def leaves(parameters):
    learned = ("W", "b", "gain", "shift")
    return {n: [t.clone().requires_grad_(n in learned) for t in p] for n, p in parameters.items()}


def autograd(layers, parameters, x, y, training, feedback=None):
    """Each parameter's gradient of the cross-entropy, summed over examples, and the output."""
    p = leaves(parameters)
    outputs = []
    for r in range(R):
        s = []
        for number, layer in enumerate(layers):
            below = number - 1 if layer.reads is None else layer.reads
            h = shown(layers[below], below, s[below], p, r, training) if number else x[r]
            W = p["W"][number][r]
            back = W.detach().T if feedback is None or not number else feedback[number - 1][r]
            a = FeedbackProduct.apply(h, W, back)
            if layer.bias_init:
                a = a + p["b"][number][r]
            s.append(a + sum(s[j] for j in layer.adds))
        outputs.append(s[-1])
        F.cross_entropy(s[-1], y[r], reduction="sum").backward()
    return {n: [t.grad for t in own] for n, own in p.items()}, torch.stack(outputs)


def same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def taught(rule, layers, parameters, x, y, training, B_=()):
    """What every parameter descends, times the batch's size, and the forward pass."""
    part = HandPart(layers, **parameters, B=list(B_))
    passed = part.forward(x, training)
    e = passed.output.softmax(-1) - y
    deltas = registry.build("learning_rule", {"name": rule}).teaching_signals(e, y, passed, part)
    found = {}
    for number, delta in deltas.items():
        found[f"W{number}"] = B * passed.outer(number, delta).value()
        found[f"b{number}"] = delta.sum(1, keepdim=True)
        for name, slope in passed.normalization_slopes(number).items():
            found[name] = B * slope
    return found, passed


def compare(found, gradients, layers):
    for number, layer in enumerate(layers):
        kinds = ["W"] + ["b"] * bool(layer.bias_init) + ["gain", "shift"] * layer.batch_norm
        for kind in kinds:
            same(found[f"{kind}{number}"], gradients[kind][number])


@modes
@every_norm
@every_graph
def test_bp_is_autograd(graph, norm, training):
    layers, parameters, x, y = draw(graph, norm)
    found, passed = taught("bp", layers, parameters, x, y, training)
    gradients, output = autograd(layers, parameters, x, y, training)
    same(passed.output, output)
    compare(found, gradients, layers)
    assert is_chain(layers) == (graph == "chain")


@modes
@every_norm
@every_graph
def test_fa_sends_through_B_along_the_same_graph(graph, norm, training):
    layers, parameters, x, y = draw(graph, norm)
    rng = np.random.default_rng(1)
    feedback = [torch.from_numpy(rng.normal(size=(R, la.fan_out, WIDTH))) for la in layers[1:]]
    found, _ = taught("fa", layers, parameters, x, y, training, feedback)
    gradients, _ = autograd(layers, parameters, x, y, training, feedback)
    compare(found, gradients, layers)


@modes
@every_norm
@every_graph
def test_dfa_sends_to_every_layers_output(graph, norm, training):
    """Through its own f and normalisation, whatever reads it."""
    layers, parameters, x, y = draw(graph, norm)
    rng = np.random.default_rng(1)
    feedback = [torch.from_numpy(rng.normal(size=(R, CLASSES, WIDTH))) for _ in layers[1:]]
    found, passed = taught("dfa", layers, parameters, x, y, training, feedback)
    e = passed.output.softmax(-1) - y
    for number, layer in enumerate(layers[:-1]):
        for r in range(R):
            s = passed.a[number][r].clone().requires_grad_()
            p = leaves(parameters)
            out = shown(layer, number, s, p, r, training)
            out.backward(e[r] @ feedback[number][r])
            same(found[f"W{number}"][r], passed.h[number][r].T @ s.grad)
            if layer.batch_norm:
                same(found[f"gain{number}"][r], p["gain"][number].grad[r])
                same(found[f"shift{number}"][r], p["shift"][number].grad[r])


@pytest.mark.parametrize("graph", ["blocks", "two readers"])
def test_dropout_drops_a_layers_values_for_all_that_read_it(graph):
    layers, parameters, x, _ = draw(graph, "normalised")
    masks = [None] * len(layers)
    rng = np.random.default_rng(2)
    masks[1] = torch.from_numpy((rng.random((R, B, WIDTH)) > 0.4) / 0.6)
    part = HandPart(layers, **parameters)
    part.masks = masks
    passed = part.forward(x, training=True)
    readers = [n for n, layer in enumerate(layers) if n and (layer.reads or 0) == 0]
    for reader in readers:
        same(passed.h[reader], passed.f[0] * masks[1])
    same(passed.activity(0), passed.f[0] * masks[1])
    signal = torch.from_numpy(rng.normal(size=(R, B, WIDTH)))
    h = passed.a[0].clone().requires_grad_()
    for r in range(R):
        (shown(layers[0], 0, h[r], parameters, r, True) * masks[1][r]).backward(signal[r])
    same(passed.pull(0, signal), h.grad)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_signals_pulled_through_them(name):
    a = torch.linspace(-4, 4, 41, dtype=torch.float64) + 0.05  # no corner is among them
    a.requires_grad_()
    h = KNOWN[name](a)
    torch.testing.assert_close(ACTIVATIONS[name].f(a), h)
    signal = torch.linspace(1, -2, 41, dtype=torch.float64)
    [expected] = torch.autograd.grad(h, a, signal)
    pulled = ACTIVATIONS[name].pull(signal, a.detach(), h.detach())
    torch.testing.assert_close(pulled, expected)
