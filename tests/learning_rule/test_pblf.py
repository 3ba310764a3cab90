"""PBLF. Oracles: torch's autograd with (1) written out as the backward of an identity, bp itself.

Axes: R rows, B batch, I fan-in, O fan-out.
"""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from by_hand import HandPart

from fabench.learning_rule.pblf import Pblf, sites
from fabench.model.layer.network import Layer
from fabench.model.residual_mlp import ResidualMlp
from fabench.model.wide_resnet import WideResnet
from fabench.population.population import Row, bound
from fabench.run.trainer import population_of

PSI = {
    "linear": lambda z: z,
    "tanh": lambda z: 2 / (1 + torch.exp(-2 * z)) - 1,
    "relu": lambda z: z * (z > 0),
    "sigmoid": lambda z: 1 / (1 + torch.exp(-z)),
}
NUMBERS = {"w1": (0.5, -1.5, 2.0), "b1": (0.3, 0.0, -0.7), "w2": (-1.2, 0.4, 0.9),
           "b2": (0.8, -0.5, 0.1)}  # fmt: skip
MODES = ["1111", "1000", "0100", "0011", "1101", "0000"]
SETTINGS = {"hidden": [], "activation": "relu", "bias": True, "weight_init": "he_normal",
            "weight_scale": 1.0, "input_dropout": 0.0, "hidden_dropout": 0.0}  # fmt: skip
RESNET = WideResnet(name="wide_resnet", **SETTINGS, batch_norm=True, depth=10, width=1)


class Identity(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, factor):
        ctx.save_for_backward(factor)
        return h.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0], None


def at_site(h, bit, numbers, psi):
    """h, and on its way back the signal times m(h) where the bit is 1."""
    n = SimpleNamespace(**numbers)
    m = n.w2 * PSI[psi](n.w1 * h.detach() + n.b1) + n.b2
    return Identity.apply(h, m) if bit == "1" else h


def rule(psi, mode, **numbers):
    """With numbers, or tensors [R, 1, 1] of numbers."""
    return bound(Pblf("pblf", 0.0, 0.0, 0.0, 1.0, 15.0, psi), numbers | {"mode": mode})


def taught(own, layers, parameters, x, y):
    """What every weight descends, times the batch's size."""
    part = HandPart(layers, **parameters)
    passed = part.forward(x, training=True)
    deltas = own.teaching_signals(passed.output.softmax(-1) - y, y, passed, part)
    assert sorted(deltas) == list(range(len(layers)))
    return {n: x.shape[1] * passed.outer(n, delta).value() for n, delta in deltas.items()}


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("psi", PSI)
def test_gradients_of_an_mlp_are_autograds_with_the_factors(draw_network, psi, activation):
    """Every row has its own numbers and its own mode; the fifth hidden layer has no site."""
    net = draw_network((6, 5, 4, 3, 4, 5, 3), activation, bias=True)
    modes = ["1011", "0100", "1101"]
    numbers = {
        key: torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for key, v in NUMBERS.items()
    }
    mode = torch.tensor([float(int(bits, 2)) for bits in modes]).view(3, 1, 1)
    y = F.one_hot(torch.arange(12).view(3, 4) % 3, 3).double()
    found = taught(rule(psi, mode, **numbers), net.layers, vars(net.weights), net.x, y)
    for r, bits in enumerate(modes):
        W = [w[r].clone().requires_grad_() for w in net.weights.W]
        own, h = {key: value[r] for key, value in NUMBERS.items()}, net.x[r]
        for layer, (w, b) in enumerate(zip(W, net.weights.b, strict=True)):
            a = h @ w + b[r]
            a = at_site(a, (bits + "00")[layer], own, psi)
            h = getattr(torch, activation)(a)
        F.cross_entropy(a, y[r], reduction="sum").backward()
        for layer, w in enumerate(W):
            torch.testing.assert_close(found[layer][r], w.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bits", MODES)
def test_gradients_of_a_wide_resnet_are_autograds_with_the_factors(bits):
    """At its start and at the end of its stages; with batch normalisation."""
    layers, rng = RESNET.layers((2, 8, 8), 1, 10), np.random.default_rng(0)
    assert sites(layers) == [0, 2, 5, 8]

    def normal(*shape):
        return torch.from_numpy(rng.normal(size=shape))

    W = [normal(1, la.fan_in, la.fan_out) / la.fan_in**0.5 for la in layers]
    gain, shift = ([normal(1, 1, la.fan_out) for la in layers] for _ in range(2))
    b = [torch.zeros(1, 1, 10).double()] * len(layers)
    running = {"mean": shift, "variance": [g.square() for g in gain]}
    x, y = normal(1, 4, 128), F.one_hot(torch.arange(4), 10).double()[None]
    numbers = {key: value[0] for key, value in NUMBERS.items()}
    own = rule("tanh", float(int(bits, 2)), **numbers)
    found = taught(own, layers, {"W": W, "b": b, "gain": gain, "shift": shift, **running}, x, y)

    leaves = [w[0].clone().requires_grad_() for w in W]

    def convolved(h, n, stride=1):
        kernel, planes = layers[n].kernel, h.shape[1]
        weight = leaves[n].T.reshape(-1, planes, kernel, kernel)
        return F.conv2d(h, weight, stride=stride, padding=kernel // 2)

    def shown(s, n):
        normalised = F.batch_norm(s, None, None, gain[n].flatten(), shift[n].flatten(), True)
        return torch.relu(normalised)

    s = at_site(convolved(x.view(4, 2, 8, 8), 0), bits[0], numbers, "tanh")
    s = s + convolved(shown(convolved(shown(s, 0), 1), 1), 2)
    s = at_site(s, bits[1], numbers, "tanh")
    for site, n in ((2, 3), (3, 6)):
        h = shown(s, n - 1)
        s = convolved(h, n + 1, 2) + convolved(shown(convolved(h, n, 2), n), n + 2)
        s = at_site(s, bits[site], numbers, "tanh")
    output = shown(s, 8).mean((2, 3)) @ leaves[9]
    F.cross_entropy(output, y[0], reduction="sum").backward()
    for n, leaf in enumerate(leaves):
        torch.testing.assert_close(found[n][0], leaf.grad, rtol=1e-8, atol=1e-10)


def test_where_sites_are():
    chain = tuple(Layer(3, 3) for _ in range(7))
    assert (sites(chain), sites(chain[:3]), sites(chain[:1])) == ([0, 1, 2, 3], [0, 1], [])
    deeper = dataclasses.replace(RESNET, depth=16, width=2).layers((3, 8, 8), 1, 10)
    ends = sites(deeper)
    assert [deeper[n].shape[0] for n in ends] == [16, 32, 64, 128]
    assert ends == [0, 5, 10, 15]
    blocks = ResidualMlp(name="residual_mlp", **SETTINGS | {"hidden": [5] * 5}, batch_norm=False)
    assert sites(blocks.layers((4,), 1, 5)) == [0, 4]


def people(make_config, learning_rule, **settings):
    config = make_config(learning_rule=learning_rule, task="classification", **settings)
    return population_of(config, [Row(s, config.scalars()) for s in (0, 1)], torch.device("cpu"))


def stepped(population, steps):
    rng = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x = population.operand(torch.randn(2, 12, 64, generator=rng))
        population.step(x, torch.eye(10)[torch.randint(10, (2, 12), generator=rng)])
    return population.snapshot(slice(None))


DEEP = {"model__hidden": [7, 6, 5, 4], "model__bias": True, "model__activation": "tanh"}
SMALL = {"model": "wide_resnet", "model__depth": 10, "model__width": 1, "model__hidden": []}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("network", [DEEP, SMALL], ids=["mlp", "wide_resnet"])
def test_the_neutral_setting_is_bp_to_the_last_digit(make_config, network, precision):
    settings = network | {"optimizer": "adam", "trainer__precision": precision}
    found, of_bp = (stepped(people(make_config, name, **settings), 2) for name in ("pblf", "bp"))
    assert found.keys() == of_bp.keys()
    assert all(torch.equal(value, of_bp[name]) for name, value in found.items())


@pytest.mark.parametrize("site", range(4))
def test_beta_scales_the_gradients_of_its_layer_and_those_below(draw_network, site):
    net, beta = draw_network((6, 5, 4, 3, 4, 3), "relu", bias=True), 4.0
    y, off = F.one_hot(torch.arange(12).view(3, 4) % 3, 3).double(), dict.fromkeys(NUMBERS, 0.0)
    scaled = rule("tanh", 2.0 ** (3 - site), **off | {"b2": beta})
    found = taught(scaled, net.layers, vars(net.weights), net.x, y)
    plain = taught(rule("tanh", 0.0, **off), net.layers, vars(net.weights), net.x, y)
    for layer, g in plain.items():
        assert g.any()
        assert torch.equal(found[layer], beta * g if layer <= site else g)


@pytest.mark.parametrize(
    ("optimizer", "sees"), [("adam", False), ("adagrad", False), ("sgd", True), ("momentum", True)]
)
def test_adam_and_adagrad_do_not_see_beta(make_config, optimizer, sees):
    """epsilon aside: here it is 0; a power of 2 scales exactly."""
    settings = DEEP | {"optimizer": optimizer}
    if not sees:
        settings["optimizer__epsilon"] = 0.0
    faster = {"learning_rule__b2": 4.0, "learning_rule__mode": 4}
    found, plain = (
        stepped(people(make_config, "pblf", **settings | more), 5) for more in ({}, faster)
    )
    assert all(value.isfinite().all() for value in plain.values())
    same = [torch.equal(found[f"W{n}"], plain[f"W{n}"]) for n in range(5)]
    assert same == [not sees] * 5


@pytest.mark.parametrize("together", [False, True])
def test_every_row_has_its_own_mode(make_config, monkeypatch, together):
    monkeypatch.setattr("fabench.population.population.computes_together", lambda *_: together)
    config = make_config(learning_rule="pblf", task="classification", learning_rule__w1=0.5,
                         learning_rule__w2=-0.7, **DEEP)  # fmt: skip
    rows = [Row(0, config.scalars() | {"learning_rule.mode": mode}) for mode in (9.0, 4.0, 0.0)]
    cpu, rng = torch.device("cpu"), torch.Generator().manual_seed(0)
    x, y = torch.randn(1, 12, 64, generator=rng), torch.eye(10)[torch.arange(12) % 10][None]
    all_rows = population_of(config, rows, cpu)
    all_rows.step(x, y.expand(3, -1, -1))
    W = all_rows.matrices("W")[0]
    assert (W[0] != W[1]).any()
    assert (W[1] != W[2]).any()
    for r, row in enumerate(rows):
        alone = population_of(config, [row], cpu)
        alone.step(x, y)
        for name, tensor in alone.trained().items():
            torch.testing.assert_close(all_rows.trained()[name][r : r + 1], tensor)
