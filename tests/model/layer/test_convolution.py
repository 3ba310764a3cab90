"""Convolutions in a population, against torch.nn, network by network.

Axes: R rows, B batch, C channels in, O channels out.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from by_hand import HandPart
from torch.nn import functional as F

from fabench.learning_rule.base.rule import DescentRule
from fabench.model.convnet import Convnet
from fabench.population.metrics import weight_alignment
from fabench.population.population import Row
from fabench.run import registry
from fabench.run.trainer import population_of
from fabench.schema import UserError
from fabench.task.base import LOSSES

R, B, CLASSES = 3, 4, 3
BASE = {
    "name": "convnet", "channels": [4, 5], "kernel": 3, "padding": 1, "pool": 2, "pool_stride": 2,
    "hidden": [6], "activation": "tanh", "bias": True, "weight_init": "torch_uniform",
    "weight_scale": 1.0, "input_dropout": 0.0, "hidden_dropout": 0.0,
}  # fmt: skip
NETS = {
    "pooled": ({}, (2, 8, 8), 1),
    "overlapping": ({"pool": 3, "padding": 2}, (1, 9, 8), 1),
    "not pooled": ({"pool": 1, "pool_stride": 2, "padding": 0, "activation": "relu"}, (1, 6, 7), 1),
    "side by side": ({"channels": [4, 3], "activation": "sigmoid", "bias": False}, (2, 6, 5), 3),
    "in strides": ({"stride": 2, "pool_stride": 1}, (1, 9, 8), 1),
}
every_net = pytest.mark.parametrize("net", NETS)
every_loss = pytest.mark.parametrize("loss", LOSSES)


def draw(net):
    """Layers, and weights, input and targets in float64."""
    settings, item, items = NETS[net]
    layers = Convnet(**{**BASE, **settings}).layers(item, items, CLASSES)
    rng = np.random.default_rng(0)

    def normal(*shape):
        return torch.from_numpy(rng.normal(size=shape))

    W = [normal(R, la.fan_in, la.fan_out) / la.fan_in**0.5 for la in layers]
    b = [normal(R, 1, la.fan_out) if la.bias_init else None for la in layers]
    x = normal(R, B, items * int(np.prod(item)))
    y = F.one_hot(torch.from_numpy(rng.integers(CLASSES, size=(R, B))), CLASSES).double()
    return layers, SimpleNamespace(W=W, b=b), x, y


def plain(net, W, b, x, masks=None):
    """One network's pre-activations after pooling, as anyone would write it: images are laid side
    by side with ``cat``, and the activation comes before the maximum."""
    settings, (channels, rows, columns), items = NETS[net]
    settings = {**BASE, **settings}
    f = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}[settings["activation"]]
    h = torch.cat(x.view(-1, items, channels, rows, columns).unbind(1), dim=3)
    for index, (w, bias) in enumerate(zip(W, b, strict=True)):
        if masks and masks[index] is not None:
            h = h * masks[index].view_as(h)
        bias = None if bias is None else bias[0]
        if index < len(settings["channels"]):
            kernels = w.T.reshape(-1, h.shape[1], settings["kernel"], settings["kernel"])
            a = F.conv2d(h, kernels, bias, settings.get("stride", 1), settings["padding"])
            h = f(a)
            if settings["pool"] > 1:
                h = F.max_pool2d(h, settings["pool"], settings["pool_stride"])
        else:
            a = F.linear(h.flatten(1), w.T, bias)
            h = f(a)
    return a


def autograd(net, weights, x, y, loss, masks=None):
    """Gradients of the loss, summed over examples: W, b and x of every network."""
    W = [w.clone().requires_grad_() for w in weights.W]
    b = [None if bias is None else bias.clone().requires_grad_() for bias in weights.b]
    x = x.clone().requires_grad_()
    for r in range(R):
        own = [None if m is None else m[r] for m in masks] if masks else None
        a = plain(net, [w[r] for w in W], [None if v is None else v[r] for v in b], x[r], own)
        if loss == "squared_error":
            total = ((a - y[r]) ** 2).sum() / 2
        elif loss == "sigmoid_squared_error":
            total = ((a.sigmoid() - y[r]) ** 2).sum() / 2
        elif loss == "softmax_cross_entropy":
            total = F.cross_entropy(a, y[r], reduction="sum")
        else:
            total = F.binary_cross_entropy_with_logits(a, y[r], reduction="sum")
        total.backward()
    return [w.grad for w in W], [None if v is None else v.grad for v in b], x.grad


def build(rule):
    return registry.build("learning_rule", {"name": rule})


def same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


@every_net
def test_the_forward_pass_is_torchs(net):
    layers, weights, x, _ = draw(net)
    passed = HandPart(layers, **vars(weights)).forward(x)
    for r in range(R):
        b = [None if v is None else v[r] for v in weights.b]
        same(passed.output[r], plain(net, [w[r] for w in weights.W], b, x[r]))
    assert [h[0, 0].numel() for h in passed.h] == [layer.n_inputs for layer in layers]
    assert [tuple(a.shape[2:]) for a in passed.a] == [layer.shape for layer in layers]


@every_loss
@every_net
@pytest.mark.parametrize("dropout", [False, True], ids=["", "dropout"])
def test_bp_is_autograd(net, loss, dropout):
    layers, weights, x, y = draw(net)
    masks = [None] * len(layers)
    if dropout:
        rng = torch.Generator().manual_seed(1)
        for index, layer in enumerate(layers):
            if index or NETS[net][2] == 1:  # ``plain`` drops after laying side by side
                kept = torch.rand(R, B, layer.n_inputs, generator=rng) > 0.3
                masks[index] = kept.double() / 0.7
    part = HandPart(layers, **vars(weights))
    part.masks = list(masks)
    passed = part.forward(x)
    e = LOSSES[loss].error(passed.output, y)
    deltas = build("bp").teaching_signals(e, y, passed, part)
    in_W, in_b, in_x = autograd(net, weights, x, y, loss, masks)
    for index, layer in enumerate(layers):
        delta = deltas[index]
        same(B * passed.outer(index, delta).value(), in_W[index])
        if in_b[index] is not None:
            torch.testing.assert_close(layer.bias_gradient(delta), in_b[index].float())
    back = passed.back(0, deltas[0], weights.W[0].mT).flatten(2)
    same(back if masks[0] is None else back * masks[0], in_x)


@every_net
def test_with_the_weights_transposed_feedback_alignment_is_backpropagation(net):
    layers, weights, x, y = draw(net)
    fa = build("fa")
    B = fa.transported(weights.W)
    assert [tuple(b.shape[1:]) for b in B] == fa.feedback_shapes(layers)
    part = HandPart(layers, **vars(weights), B=B)
    passed = part.forward(x)
    e = passed.output - y
    deltas = fa.teaching_signals(e, y, passed, part)
    of_bp = build("bp").teaching_signals(e, y, passed, part)
    assert deltas.keys() == of_bp.keys() == set(range(len(layers)))
    for layer, delta in deltas.items():
        same(delta, of_bp[layer])


@every_net
def test_dfa_brings_every_pooled_value_its_own_error(net):
    """Column n of B_l is what reaches value n of layer l, whatever the layer is."""
    layers, weights, x, y = draw(net)
    dfa, rng = build("dfa"), np.random.default_rng(2)
    B = [torch.from_numpy(rng.normal(size=(R, *s))) for s in dfa.feedback_shapes(layers)]
    part = HandPart(layers, **vars(weights), B=B)
    passed = part.forward(x)
    e = passed.output - y
    deltas = dfa.teaching_signals(e, y, passed, part)
    same(deltas.pop(len(layers) - 1), e)
    assert len(deltas) == len(B)
    for index, delta in deltas.items():
        slope = {"tanh": lambda a: 1 - torch.tanh(a) ** 2, "relu": lambda a: (a > 0).double(),
                 "sigmoid": lambda a: torch.sigmoid(a) * torch.sigmoid(-a)}  # fmt: skip
        f = slope[layers[index].activation](passed.a[index].flatten(2))
        same(delta.flatten(2), torch.einsum("rbc,rcn->rbn", e, B[index]) * f)


def test_alignment_is_measured_where_feedback_stands_in_for_a_matrix():
    layers, weights, _, _ = draw("pooled")
    dfa = build("dfa")
    B = [torch.ones(R, *shape).double() for shape in dfa.feedback_shapes(layers)]
    pairs = dfa.alignment_pairs(weights.W, B)
    assert [pair is None for pair in pairs] == [True, False, False]
    assert all(b.shape == w.shape for b, w in filter(None, pairs))


# -- In training -----------------------------------------------------------------------------

DENSE_ONLY = [
    "ifa", "ntk", "product_feedback", "difference_target_propagation", "contrastive_hebbian",
    "target_propagation", "simplified_difference_target_propagation",
    "direct_difference_target_propagation", "fdfa", "pepita", "predictive_coding",
    "synthetic_gradients", "forward_forward", "forward_gradient",
    "equilibrium_propagation", "generec", "contrastive_divergence", "recirculation",
]  # fmt: skip
RULES = [
    name
    for name in registry.names("learning_rule")
    if name not in DENSE_ONLY and issubclass(registry.find("learning_rule", name), DescentRule)
]


def configure(make_config, **overrides):
    small = {"model__channels": [3, 4], "trainer__epochs": 1}
    return make_config(model="lenet", task="classification", **{**small, **overrides})


@pytest.mark.parametrize("rule", RULES)
def test_a_row_is_the_run_alone_and_every_layer_that_learns_moves(make_config, rule):
    config = configure(make_config, learning_rule=rule, optimizer="adam")
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(2, 8, 64)).astype(np.float32))
    y = F.one_hot(torch.from_numpy(rng.integers(10, size=(2, 8))), 10).float()
    rows = [Row(seed, config.scalars()) for seed in (0, 1)]
    cpu = torch.device("cpu")
    both = population_of(config, rows, cpu)
    before = [W.clone() for W in both.matrices("W")]
    both.step(x, y)
    for r in range(2):
        alone = population_of(config, rows[r : r + 1], cpu)
        alone.step(x[r : r + 1], y[r : r + 1])
        for name, tensor in both.trained().items():
            torch.testing.assert_close(tensor[r : r + 1], alone.trained()[name])
    frozen = [not layer.trained for layer in both.layers]
    assert [torch.equal(a, b) for a, b in zip(before, both.matrices("W"), strict=True)] == frozen


@pytest.mark.parametrize("rule", [
    "bp", "fa", "dfa", "kolen_pollack", "weight_mirror", "local_representation_alignment",
])  # fmt: skip
def test_all_rows_at_once_give_what_they_give_one_by_one(make_config, monkeypatch, rule):
    config = configure(make_config, learning_rule=rule, optimizer="sgd")
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(2, 8, 64)).astype(np.float32))
    y = F.one_hot(torch.from_numpy(rng.integers(10, size=(2, 8))), 10).float()
    rows = [Row(seed, config.scalars()) for seed in (0, 1)]
    results = []
    for together in (False, True):
        monkeypatch.setattr(
            "fabench.population.population.computes_together", lambda *_, t=together: t
        )
        population = population_of(config, rows, torch.device("cpu"))
        population.step(x, y)
        results.append(population.snapshot(slice(None)))
    for name, tensor in results[0].items():
        torch.testing.assert_close(tensor, results[1][name], rtol=1e-5, atol=1e-6)


def test_learned_feedback_of_a_convolution_follows_its_kernels(make_config):
    """Kolen-Pollack with plain descent: both change by the same, so W^T - B stays."""
    config = configure(make_config, learning_rule="kolen_pollack", optimizer__lr=0.5)
    population = population_of(config, [Row(0, config.scalars())], torch.device("cpu"))
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(1, 8, 64)).astype(np.float32))
    y = F.one_hot(torch.from_numpy(rng.integers(10, size=(1, 8))), 10).float()
    before = [b.clone() for b in population.matrices("B")]
    gap = [W.mT - B for W, B in zip(population.matrices("W")[1:], before, strict=True)]
    population.step(x, y)
    for index, b in enumerate(population.matrices("B")):
        assert not torch.equal(b, before[index])
        torch.testing.assert_close(population.matrices("W")[index + 1].mT - b, gap[index])


@pytest.mark.parametrize("rule", DENSE_ONLY)
def test_rules_that_are_not_defined_for_convolutions_say_so(make_config, rule):
    with pytest.raises(
        UserError,
        match=f"^learning_rule={rule} is not defined for convolutions: model.name=convnet is",
    ):
        configure(make_config, learning_rule=rule)


def test_direct_feedback_cannot_be_transported_through_convolutions(make_config):
    with pytest.raises(
        UserError,
        match="^init_of_B=transported is not defined for convolutions with learning_rule=dfa.",
    ):
        configure(make_config, learning_rule="dfa", init_of_B="transported")
    configure(make_config, learning_rule="fa", init_of_B="transported")


def test_convolutions_need_images_of_a_size(make_config):
    with pytest.raises(
        UserError, match="^model=convnet: convolutions need images; take model=mlp."
    ):
        make_config(model="lenet", dataset="sparse_parity", task="parity")
    with pytest.raises(
        UserError,
        match="^model=convnet: images of 1 x 1 pixels are too small for so many convolutions.",
    ):
        make_config(model="nokland_conv", task="classification")
    thin = make_config(model="convnet", model__channels=[1, 4], task="classification")
    assert thin.layers()[0].convolved[0] == 1  # fewer channels than the pool is wide


@every_net
def test_sizes(net):
    layers, *_ = draw(net)
    convolutions = [layer for layer in layers if hasattr(layer, "pool")]
    sizes = {
        "pooled": [(4, 4, 4), (5, 2, 2)],
        "overlapping": [(4, 5, 4), (5, 3, 2)],
        "not pooled": [(4, 4, 5), (5, 2, 3)],
        "side by side": [(4, 3, 7), (3, 1, 3)],
        "in strides": [(4, 4, 3), (5, 1, 1)],
    }
    assert [layer.shape for layer in convolutions] == sizes[net]


def test_alignment_columns_are_numbered_by_layer(make_config):
    config = configure(make_config, learning_rule="dfa")
    people = population_of(config, [Row(0, config.scalars())], torch.device("cpu"))
    columns = weight_alignment(people)
    assert list(columns) == ["weight_alignment"] + [f"weight_alignment_{n}" for n in (2, 3)]
