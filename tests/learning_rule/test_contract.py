"""What every learning rule must do. A new one is tested by being there.

Axes: R rows, B batch, I fan-in, O fan-out, C outputs.
"""

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from by_hand import HandPart
from omegaconf import OmegaConf
from torch.nn.functional import binary_cross_entropy_with_logits

from fabench.command import contract
from fabench.learning_rule.base.feedback import FeedbackRule
from fabench.learning_rule.base.rule import DescentRule, LazyRule, sent_up
from fabench.learning_rule.base.settling import SettlingRule
from fabench.learning_rule.base.signal import SignalRule
from fabench.learning_rule.base.target import TargetRule
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.network import Layer, forward
from fabench.population.part import numbered
from fabench.population.population import Row
from fabench.randomness import generator
from fabench.run import registry
from fabench.run.trainer import population_of
from fabench.task.base import LOSSES as OBJECTIVES
from fabench.task.reconstruction import Reconstruction

CONF = Path(__file__).parents[2] / "conf" / "learning_rule"
NAMES = registry.names("learning_rule")


def build(name, **settings):
    defaults = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    defaults.pop("defaults", None)  # Hydra's: other groups
    return registry.build("learning_rule", defaults | settings)


RULES = {name: build(name) for name in NAMES}
DESCENT = [name for name in NAMES if isinstance(RULES[name], DescentRule)]
SIGNAL = [name for name in NAMES if isinstance(RULES[name], SignalRule)]
FEEDBACK = [name for name in NAMES if RULES[name].has_feedback]
SETTLING = [name for name in NAMES if isinstance(RULES[name], SettlingRule)]
FEATURES = [name for name in NAMES if name.endswith("_features") or name == "shallow"]
LEARNED = [
    name
    for name in FEEDBACK
    if RULES[name].learned_feedback((Layer(3, 2), Layer(2, 2), Layer(2, 1)))
]
DIRECT = ["dfa", "dkp", "drtp", "fdfa", "direct_difference_target_propagation"]
SIGNS = ["usf", "frsf", "brsf"]
every_rule = pytest.mark.parametrize("name", NAMES)
every_descent_rule = pytest.mark.parametrize("name", DESCENT)
every_signal_rule = pytest.mark.parametrize("name", SIGNAL)
every_settling_rule = pytest.mark.parametrize("name", SETTLING)
every_feedback_rule = pytest.mark.parametrize("name", FEEDBACK)
every_features_rule = pytest.mark.parametrize("name", FEATURES)

ACTIVATIONS = {
    "relu": torch.nn.functional.relu,
    "tanh": torch.nn.functional.tanh,
    "sigmoid": torch.nn.functional.sigmoid,
    "linear": torch.nn.Identity(),
}
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
SLOPES = {  # f'(a), in NumPy
    "relu": lambda a: np.where(a > 0, 1.0, 0.0),
    "tanh": lambda a: np.cosh(a) ** -2.0,
    "sigmoid": lambda a: np.exp(-a) / (1 + np.exp(-a)) ** 2,
    "linear": lambda a: np.ones_like(a),
}
WIDTHS = [(6, 1), (6, 5, 1), (7, 5, 4, 2), (6, 5, 4, 3, 1), (4, 3, 5, 2, 6, 3)]
DEEP = [widths for widths in WIDTHS if len(widths) > 3]
every_depth = pytest.mark.parametrize("widths", WIDTHS, ids=str)
every_deep = pytest.mark.parametrize("widths", DEEP, ids=str)


LOSSES = {
    "cross-entropy": lambda a, y: binary_cross_entropy_with_logits(a, y, reduction="sum"),
    "squared": lambda a, y: ((a - y) ** 2).sum() / 2,
}


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-13)


def autograd(net, loss="cross-entropy"):
    """Derivatives of the loss, summed over rows and examples, by torch: with respect to every
    pre-activation, weight and bias."""
    W = [w.clone().requires_grad_() for w in net.weights.W]
    b = [None if b is None else b.clone().requires_grad_() for b in net.weights.b]
    h, a = net.x, []
    for index, layer in enumerate(net.layers):
        a.append(torch.einsum("rbi,rio->rbo", h, W[index]))
        if b[index] is not None:
            a[-1] = a[-1] + b[index]
        a[-1].retain_grad()
        if layer.gate:
            g = torch.einsum("rbi,rio->rbo", h.detach(), net.weights.G[index])  # a constant
            h = a[-1] * (torch.sigmoid(g) if layer.gate == "sigmoid" else torch.heaviside(g, 0 * g))
        else:
            h = ACTIVATIONS[layer.activation](a[-1])
    LOSSES[loss](a[-1], net.y).backward()
    return [x.grad for x in a], [w.grad for w in W], [None if x is None else x.grad for x in b]


def noise(stream, shape):
    """Of three runs."""
    return torch.from_numpy(np.stack([generator(r, stream).normal(size=shape) for r in range(3)]))


def signals(rule, net, B=(), e=None, noise=noise):
    """The rule's deltas for the cross-entropy, and the forward pass."""
    objective = OBJECTIVES["sigmoid_cross_entropy"]
    own = {"B": list(B), **others(rule, net)}
    part = HandPart(net.layers, noise, objective, **vars(net.weights), **own)
    passed = part.forward(net.x)
    e = torch.sigmoid(passed.output) - net.y if e is None else e
    deltas = rule.teaching_signals(e, net.y, passed, part)
    return [deltas.get(layer) for layer in range(len(net.layers))], passed


def others(rule, net):
    """The rule's parameters besides feedback matrices, by kind."""
    if isinstance(rule, FeedbackRule):
        table = rule.other_parameters(net.layers)
    else:
        table = rule.parameters(net.layers, InitOfB("uniform", 1.0))
    return {
        kind: [torch.ones(3, *table[name].shape).double() for name in numbered(kind, table)]
        for kind in {name[0] for name in table}
    }


def feedback(rule, net):
    return [net.normal(3, source, to) for source, to in rule.feedback_shapes(net.layers)]


# -- Against autograd ------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@every_activation
@every_depth
def test_bp_is_autograd(draw_network, widths, activation, bias, loss):
    net = draw_network(widths, activation, bias)
    in_a, in_W, in_b = autograd(net, loss)
    deltas, passed = signals(RULES["bp"], net, e=in_a[-1])
    assert [tuple(d.shape) for d in deltas] == [(3, 4, o) for o in widths[1:]]
    for h, delta, da, dW, db in zip(passed.h, deltas, in_a, in_W, in_b, strict=True):
        assert da.any()
        assert_same(delta, da)
        assert_same(h.mT @ delta, dW)
        assert bias or db is None
        if bias:
            assert_same(delta.sum(1, keepdim=True), db)


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("gate", ["sigmoid", "step"])
@every_depth
def test_ntk_is_autograd_with_constant_gates(draw_network, widths, gate, bias):
    net = draw_network(widths, "relu", bias, gate)
    in_a, in_W, in_b = autograd(net)
    deltas, passed = signals(build("ntk", gate=gate), net)
    for h, delta, da, dW, db in zip(passed.h, deltas, in_a, in_W, in_b, strict=True):
        assert_same(delta, da)
        assert_same(h.mT @ delta, dW)
        if bias:
            assert_same(delta.sum(1, keepdim=True), db)


@every_activation
@every_depth
def test_fa_with_transported_weights_is_bp(draw_network, widths, activation):
    net = draw_network(widths, activation, bias=True)
    deltas, _ = signals(RULES["fa"], net, RULES["fa"].transported(net.weights.W))
    assert_same(deltas, autograd(net)[0])


@pytest.mark.parametrize("name", ["dfa", "ifa"])
@every_activation
def test_one_hidden_layer_with_transported_weights_is_bp(draw_network, name, activation):
    net = draw_network((6, 5, 3), activation, bias=True)
    deltas, _ = signals(RULES[name], net, RULES[name].transported(net.weights.W))
    assert_same(deltas, autograd(net)[0])


@every_depth
def test_linear_dfa_with_transported_weights_is_bp(draw_network, widths):
    net = draw_network(widths, "linear", bias=True)
    B = RULES["dfa"].transported(net.weights.W) if len(widths) > 2 else []
    assert_same(signals(RULES["dfa"], net, B)[0], autograd(net)[0])


@every_activation
def test_feedback_rules_agree_on_one_hidden_layer(draw_network, activation):
    net = draw_network((6, 5, 3), activation)
    B = [net.normal(3, 3, 5)]
    expected, _ = signals(RULES["dfa"], net, B)
    assert not torch.allclose(expected[0], autograd(net)[0][0], rtol=0.1)
    for name in ("fa", "ifa", "dkp", "kolen_pollack", "weight_mirror"):
        assert_same(signals(RULES[name], net, B)[0], expected)


@pytest.mark.parametrize("name", SIGNS)
@every_activation
@every_depth
def test_signs_with_the_weights_magnitudes_are_bp(draw_network, widths, activation, name):
    """The magnitude is 0.7 everywhere; for brsf noise is 1 or -1."""
    net = draw_network(widths, activation, bias=True)
    for w in net.weights.W:
        w.copy_(0.7 * w.sign())
    B = [-w.mT for w in net.weights.W[1:]]  # their signs do not matter
    deltas, _ = signals(RULES[name], net, B, noise=lambda *args: noise(*args).sign())
    assert_same(deltas, autograd(net)[0])


@every_activation
@every_depth
def test_product_feedback_with_transported_weights_is_bp(draw_network, widths, activation):
    net, rule = draw_network(widths, activation, bias=True), RULES["product_feedback"]
    assert_same(signals(rule, net, rule.transported(net.weights.W))[0], autograd(net)[0])


# -- Against loops over runs, examples and units ---------------------------------------------


def loop(name, net, B, activation):
    """The teaching signals of one-example networks, unit by unit, in NumPy."""
    W, B = [w.numpy() for w in net.weights.W], [b.numpy() for b in B]
    passed = forward(net.layers, net.parameters, net.x)
    slopes = [SLOPES[activation](a.numpy()) for a in passed.a[:-1]]
    e = (torch.sigmoid(passed.output) - net.y).numpy()
    deltas = [np.zeros(a.shape) for a in passed.a[:-1]] + [e]
    R, N, _ = e.shape
    layers = range(len(W) - 1)
    for layer in reversed(layers) if name == "fa" else layers:
        for r in range(R):
            for n in range(N):
                for j in range(W[layer].shape[2]):
                    total = 0.0
                    if name == "fa":
                        for i, d in enumerate(deltas[layer + 1][r, n]):
                            total += B[layer][r, i, j] * d
                    elif name == "dfa" or layer == 0:
                        for i, d in enumerate(e[r, n]):
                            total += B[layer][r, i, j] * d
                    else:  # ifa: forward, through the weights
                        for i, d in enumerate(deltas[layer - 1][r, n]):
                            total += W[layer][r, i, j] * d
                    deltas[layer][r, n, j] = total * slopes[layer][r, n, j]
    return [torch.from_numpy(d) for d in deltas]


@pytest.mark.parametrize("name", ["fa", "dfa", "ifa"])
@every_activation
@every_deep
def test_deep_feedback_follows_a_loop(draw_network, widths, name, activation):
    net = draw_network(widths, activation, bias=True)
    B = feedback(RULES[name], net)
    assert_same(signals(RULES[name], net, B)[0], loop(name, net, B, activation))


# -- Shapes ----------------------------------------------------------------------------------


@every_depth
@every_signal_rule
def test_one_signal_per_layer_and_the_last_is_the_error(draw_network, widths, name):
    net = draw_network(widths)
    rule = RULES[name]
    B = feedback(rule, net) if name in FEEDBACK and len(widths) > 2 else []
    if isinstance(rule, LazyRule):
        trained = [rule.hidden_layer(layer).trained for layer in net.layers[:-1]] + [True]
    else:
        trained = [True] * len(net.layers)
    e = net.normal(3, 4, widths[-1])
    deltas, _ = signals(rule, net, B, e)
    assert [d is not None for d in deltas] == trained
    assert [d.shape for d in deltas if d is not None] == [
        (3, 4, o) for o, learns in zip(widths[1:], trained, strict=True) if learns
    ]
    assert torch.equal(deltas[-1], e)


EXPECTED_SHAPES = {
    "fa": lambda widths: [(o, i) for i, o in pairwise(widths[1:])],
    "dfa": lambda widths: [(widths[-1], n) for n in widths[1:-1]],
    "ifa": lambda widths: [(widths[-1], widths[1])],
    "product_feedback": lambda widths: [
        shape for i, o in pairwise(widths[1:]) for shape in ((o, 10 * o), (10 * o, i))
    ],
}
TARGETS = [name for name in FEEDBACK if isinstance(RULES[name], TargetRule)]
ANTIPARALLEL = [
    *SIGNS,
    *TARGETS,
    "kolen_pollack",
    "weight_mirror",
    "local_representation_alignment",
]
for like, names in {"fa": ANTIPARALLEL, "dfa": DIRECT}.items():
    EXPECTED_SHAPES |= dict.fromkeys(names, EXPECTED_SHAPES[like])


@pytest.mark.parametrize("widths", WIDTHS[1:], ids=str)
@every_feedback_rule
def test_feedback_shapes_and_pairs(draw_network, widths, name):
    net, rule = draw_network(widths), RULES[name]
    shapes = rule.feedback_shapes(net.layers)
    assert shapes == EXPECTED_SHAPES[name](widths)
    assert [tuple(b.shape) for b in rule.transported(net.weights.W)] == [(3, *s) for s in shapes]
    pairs = rule.alignment_pairs(net.weights.W, feedback(rule, net))
    assert len(pairs) == (len(widths) - 2 if name != "ifa" else 1)
    assert all(b.shape == w.shape for b, w in pairs)


@pytest.mark.parametrize(
    ("name", "widths"),
    # DFA's inner pairs compare W with B^T B, its equation (4): not 1 even for these B; of B, usf
    # and brsf take the scale only
    [
        (n, w)
        for n in FEEDBACK
        for w in WIDTHS[1:]
        if not (n in DIRECT and w in DEEP) and n not in ("usf", "brsf")
    ],
    ids=str,
)
def test_transported_feedback_is_aligned(draw_network, widths, name):
    net, rule = draw_network(widths), RULES[name]
    W = net.weights.W

    def cosines(B):
        pairs = [(b.flatten(1), w.flatten(1)) for b, w in rule.alignment_pairs(W, B)]
        return torch.stack([(b * w).sum(1) / b.norm(dim=1) / w.norm(dim=1) for b, w in pairs])

    aligned = cosines(rule.transported(W))
    assert_same(aligned, torch.ones_like(aligned))
    even = name in ("frsf", "product_feedback")  # signs in B do not matter, or cancel
    assert_same(cosines([-2 * b for b in rule.transported(W)]), aligned if even else -aligned)
    assert (cosines(feedback(rule, net)) < (0.999 if name == "frsf" else 0.9)).all()


# -- Rows never mix --------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(6, 5, 2), (6, 5, 4, 3, 2)], ids=str)
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@every_signal_rule
def test_nothing_leaks_into_other_rows(draw_network, widths, name, bias):
    gate = "sigmoid" if name == "ntk" else None
    net = draw_network(widths, bias=bias, gate=gate)
    rule = RULES[name]
    B = feedback(rule, net) if name in FEEDBACK else []
    clean, _ = signals(rule, net, B)
    clean = [d if d is None else d.clone() for d in clean]
    for tensor in [net.x, *net.weights.W, *net.weights.b, *net.weights.G, *B]:
        if tensor is not None:
            tensor[1] = torch.nan
    for delta, before in zip(signals(rule, net, B)[0], clean, strict=True):
        if before is not None:
            assert torch.equal(delta[[0, 2]], before[[0, 2]])
            assert delta[1].isnan().all()


def settling(rule, net):
    """A part whose own parameters are half what stands in their place at first."""
    own: dict[str, list] = {}
    table = rule.parameters(net.layers, InitOfB("uniform", 1.0))
    for name, parameter in sorted(table.items()):
        own.setdefault(name[0], []).append(0.5 * net.normal(3, *parameter.shape))
    objective = OBJECTIVES["sigmoid_cross_entropy"]
    return HandPart(net.layers, noise, objective, **vars(net.weights), **own)


@every_settling_rule
def test_states_do_not_leak_into_other_rows(draw_network, name):
    net, rule = draw_network((6, 5, 4, 2), "sigmoid", bias=True), RULES[name]
    part = settling(rule, net)

    def learned():
        part.descended = {}
        output = rule.learn(part, net.x, net.y)
        return [output.clone(), *(g for g, _ in part.descended.values())]

    clean = learned()
    assert len(clean) >= 7
    for tensor in [net.x, *net.weights.W, *net.weights.b]:
        tensor[1] = torch.nan
    for now, before in zip(learned(), clean, strict=True):
        assert torch.equal(now[[0, 2]], before[[0, 2]])
        assert now[1].isnan().all()


# -- Rest ------------------------------------------------------------------------------------


def with_steps(name, number):
    """A settling rule of so many steps in both phases."""
    fields = (field.name for field in dataclasses.fields(RULES[name]))
    return build(name, **{field: number for field in fields if field.endswith("steps")})


@pytest.mark.parametrize("clamped", [False, True], ids=["free", "driven"])
@every_settling_rule
def test_a_network_that_has_settled_stays(draw_network, name, clamped):
    net = draw_network((6, 5, 4, 2), "sigmoid", bias=True)
    rule = with_steps(name, 300)
    part = settling(rule, net)
    drive, target = sent_up(part, 0, net.x), net.y if clamped else None
    states = rule.relax(part, drive, target=target)
    moved = with_steps(name, 1).relax(part, drive, states, target)
    for s, now in zip(states, moved, strict=True):
        assert (now - s).abs().max() < 1e-10
    started = with_steps(name, 1).relax(part, drive, target=target)
    assert (started[0] - states[0]).abs().max() > 1e-3


# -- In training -----------------------------------------------------------------------------


def population(config, seeds=(0, 1, 2)):
    rows = [Row(seed, config.scalars()) for seed in seeds]
    return population_of(config, rows, torch.device("cpu"))


def toy(R, N=64, inputs=64):
    """x [R, N, inputs] and y: the sign of the first input, the largest."""
    x = torch.randn(R, N, inputs, generator=torch.Generator().manual_seed(0))
    x[..., 0] *= 4
    return x, (x[..., :1] > 0).float()


def toy_of(people):
    """x and y as the rule takes them: the toy problem, or 64 patterns to reconstruct."""
    if isinstance(people.task, Reconstruction):
        patterns = torch.eye(64).expand(3, -1, -1)
        return patterns, patterns
    return toy(3)


AT_ONCE = [name for name in DESCENT if name not in ("forward_forward", "forward_gradient")]
"""That lower the loss of the toy problem in every step: its first input is in the place of
forward-forward's label, and one direction in a step is little for forward gradients."""


@pytest.mark.parametrize("hidden", [[48], [48, 32]], ids=str)
@pytest.mark.parametrize("name", AT_ONCE)
def test_the_loss_falls_on_a_toy_problem(make_fitting, name, hidden):
    assert_loss_falls(make_fitting, name, hidden)


def assert_loss_falls(make_fitting, name, hidden, **settings):
    settings |= {"model__hidden": hidden, "optimizer__lr": 0.1, "k": 1, "model__activation": "tanh"}
    people = population(make_fitting(name, **settings))
    x, y = toy_of(people)
    value = people.task.objective.value
    losses = torch.stack([value(people.step(x, y), y).mean(1) for _ in range(40)])
    assert (losses.diff(dim=0) < 0).all()
    assert (losses[-1] < 0.96 * losses[0]).all()


@pytest.mark.parametrize(
    ("name", "dropout"), [(name, 0.0) for name in DESCENT] + [(name, 0.2) for name in SIGNAL]
)
def test_operands_share_one_number_format(make_fitting, monkeypatch, name, dropout):
    """bf16 products mix no types, and lead where float32's do."""
    assert_formats_agree(
        make_fitting, monkeypatch, name, model__input_dropout=dropout,
        model__hidden_dropout=dropout,
    )  # fmt: skip


SETTINGS = {
    "difference_target_propagation": [
        {"inverse_loss": "difference"}, {"inverse_loss": "local_difference"}, {"feedback_steps": 0},
    ],
    "local_representation_alignment": [
        {"feedback": "fixed"}, {"feedback": "derivative", "steps": 3}, {"steps": 3},
    ],
    "synthetic_gradients": [
        {"conditioned": False}, {"module_hidden": [7, 6]}, {"targets": "backpropagated"},
    ],
    "forward_forward": [{"negatives": "uniform", "answer": "readout"}],
    "forward_gradient": [{"perturbed": "activities", "directions": 50}],
    "evolution_strategy": [{"shaping": "ranks"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "own"), [(name, own) for name in SETTINGS for own in SETTINGS[name]], ids=str
)
def test_other_settings_learn_in_every_format(make_fitting, monkeypatch, name, own):
    settings = {f"learning_rule__{key}": value for key, value in own.items()}
    assert_formats_agree(make_fitting, monkeypatch, name, model__activation="tanh", **settings)
    if name != "forward_forward" and own != {"shaping": "ranks"}:  # steps know no loss's size
        assert_loss_falls(make_fitting, name, [48, 32], **settings)


def assert_formats_agree(make_fitting, monkeypatch, name, **settings):
    settings |= {"model__hidden": [48, 32], "optimizer": "momentum", "k": 1}
    full = population(make_fitting(name, **settings))
    monkeypatch.setattr("fabench.population.precision.cpu_has_bf16", lambda: True)
    half = population(make_fitting(name, **settings, trainer__precision="bf16"))
    start = full.snapshot(slice(None))
    x, y = toy_of(full)
    for _ in range(5):
        full.step(x, y)
        half.step(half.operand(x), y)
    found = half.snapshot(slice(None))
    for key, value in full.snapshot(slice(None)).items():
        assert found[key].dtype == torch.float32
        far = (value - start[key]).abs().max().item()
        torch.testing.assert_close(found[key], value, rtol=0, atol=0.3 * far)


@every_features_rule
@pytest.mark.parametrize("hidden", [[7], [7, 5]], ids=str)
def test_features_stay_and_the_output_is_logistic_regression(make_config, name, hidden):
    settings = {"model__hidden": hidden, "model__bias": True, "optimizer__lr": 0.3, "k": 1}
    people = population(make_config(learning_rule=name, **settings))
    drawn = [[None if w is None else w.clone() for w in part] for part in
             (people.matrices("W"), people.matrices("b"))]  # fmt: skip
    x, y = toy(3)

    f = {"relu": lambda a: np.maximum(a, 0), "cos": np.cos, "linear": lambda a: a}
    phi = x.double().numpy()
    for layer, W, b in zip(people.layers[:-1], *drawn, strict=False):
        phi = f[layer.activation](phi @ W.double().numpy() + b.double().numpy())
    w, c = (part[-1].double().numpy() for part in drawn)
    for _ in range(5):
        people.step(x, y)
        error = 1 / (1 + np.exp(-(phi @ w + c))) - y.double().numpy()
        w = w - 0.3 * np.swapaxes(phi, 1, 2) @ error / 64
        c = c - 0.3 * error.mean(1, keepdims=True)

    for index in range(len(hidden)):
        assert torch.equal(people.matrices("W")[index], drawn[0][index])
        assert torch.equal(people.matrices("b")[index], drawn[1][index])
    assert (people.matrices("W")[-1] - drawn[0][-1]).abs().max() > 0.01
    np.testing.assert_allclose(people.matrices("W")[-1], w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(people.matrices("b")[-1], c, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@every_rule
def test_the_contract_of_plugins(make_fitting, name, check):
    check(make_fitting(name, model__hidden=[6, 5], k=1))


@pytest.mark.parametrize("name", [name for name in DESCENT if name not in FEATURES])
def test_the_other_rules_train_every_layer_and_keep_what_is_fixed(make_fitting, name):
    people = population(make_fitting(name, model__hidden=[6, 5], k=1))
    assert people.trained().keys() == {f"W{layer}" for layer in range(len(people.layers))}
    B = [] if name in LEARNED else people.matrices("B")
    fixed = [b.clone() for b in B] + [g.clone() for g in people.matrices("G") if g is not None]
    people.step(*toy_of(people))
    now = B + [g for g in people.matrices("G") if g is not None]
    assert all(torch.equal(b, a) for b, a in zip(now, fixed, strict=True))


@pytest.mark.parametrize("name", LEARNED)
def test_feedback_learns(make_config, name):
    people = population(make_config(learning_rule=name, model__hidden=[6, 5], k=1))
    before, parameters = [b.clone() for b in people.matrices("B")], people.n_parameters()
    people.step(*toy(3))
    moved = [
        bool((b != old).any((1, 2)).all())
        for b, old in zip(people.matrices("B"), before, strict=True)
    ]
    assert moved == ([False, True] * 2 if name == "product_feedback" else [True] * 2)
    assert parameters == 64 * 6 + 6 * 5 + 5  # forward weights only


FOLLOWING = ["kolen_pollack", "dkp", "product_feedback", "local_representation_alignment"]


@pytest.mark.parametrize("frozen", [[1], [2], [3], [2, 3]], ids=str)
@pytest.mark.parametrize("name", FOLLOWING)
def test_feedback_that_learns_as_weights_do_stays_where_they_stay(make_config, name, frozen):
    """Layer l's own, l = 2 and 3: what takes W's steps without W would grow without bounds."""
    people = population(make_config(
        learning_rule=name, model__hidden=[6, 5], k=1, trainer__frozen_layers=frozen
    ))  # fmt: skip
    own = people.matrices("B")[1::2] if name == "product_feedback" else people.matrices("B")
    before = [b.clone() for b in own]
    people.step(*toy(3))
    stays = [torch.equal(b, old) for b, old in zip(own, before, strict=True)]
    assert stays == [2 in frozen, 3 in frozen]


def cosine_to_weights(people):
    """Of all layers together [R]."""
    pairs = people.rule.alignment_pairs(people.matrices("W"), people.matrices("B"))
    b, w = (torch.cat([m.flatten(1) for m in part], 1) for part in zip(*pairs, strict=True))
    return torch.cosine_similarity(b, w)


@pytest.mark.parametrize(
    ("name", "hidden", "init"),
    [
        ("kolen_pollack", [48, 32], "uniform"),
        ("dkp", [48], "zeros"),
        ("product_feedback", [48, 32], "orthogonal"),
    ],
)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_learned_feedback_comes_to_the_transposed_weights(
    make_config, name, hidden, init, optimizer
):
    people = population(make_config(
        learning_rule=name, model__hidden=hidden, model__activation="tanh", init_of_B=init, k=1,
        optimizer=optimizer, optimizer__lr=0.5 if optimizer == "sgd" else 0.05,
        trainer__weight_decay=0.05,
    ))  # fmt: skip
    x, y = toy(3)
    cosines = [cosine_to_weights(people)]
    for _ in range(4):
        for _ in range(50):
            people.step(x, y)
        cosines.append(cosine_to_weights(people))
    assert (cosines[0] < 0.3).all()
    assert (torch.stack(cosines).diff(dim=0) > 0).all()
    assert (cosines[-1] > 0.99).all()


@every_rule
def test_a_rule_that_descends_has_an_optimizer_and_no_other(make_raw, name):
    assert ("optimizer" in make_raw(learning_rule=name)) == (name in DESCENT)


# -- Files -----------------------------------------------------------------------------------


@every_rule
def test_yaml_and_test_stand_beside_the_module(name):
    lines = (CONF / f"{name}.yaml").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert lines[0].endswith(".")
    assert lines[1] == f"name: {name}"
    assert (Path(__file__).parent / f"test_{name}.py").is_file()


def test_every_yaml_has_its_module():
    assert sorted(path.stem for path in CONF.glob("*.yaml")) == NAMES
