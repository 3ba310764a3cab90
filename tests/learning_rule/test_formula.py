"""Formulas as learning rules. Oracles: bp, fa and dfa, to the last digit; NumPy, unit by unit.

Axes: R rows, B batch, I fan-in, O fan-out, C outputs.
"""

import numpy as np
import pytest
import torch
from by_hand import HandPart

from fabench.learning_rule.formula import Formula, Place
from fabench.learning_rule.language.tree import parse
from fabench.learning_rule.language.words import OPERANDS
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.network import Layer
from fabench.population.population import Row, is_a_graph
from fabench.run.trainer import population_of
from fabench.schema import UserError

CPU = torch.device("cpu")


def rule(formula):
    return Formula("formula", formula)


def people(make_config, learning_rule, seeds=(0, 1), **settings):
    config = make_config(learning_rule=learning_rule, task="classification", **settings)
    return population_of(config, [Row(s, config.scalars()) for s in seeds], CPU)


def batch(rows=2, examples=12):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(rows, examples, 64, generator=rng)
    return x, torch.eye(10)[torch.randint(10, (rows, examples), generator=rng)]


def stepped(population, steps=3):
    x, y = batch(len(population.rows))
    for _ in range(steps):
        population.step(population.operand(x), y)
    return population.snapshot(slice(None))


# -- The rules that formulas spell -----------------------------------------------------------

DEEP = {"model__hidden": [7, 6, 5], "model__bias": True, "model__activation": "tanh"}
WIDE = {"model": "wide_resnet", "model__depth": 10, "model__width": 1, "model__hidden": []}
LENET = {"model": "lenet", "model__channels": [3, 4], "model__hidden": [6, 5]}
RESIDUAL = {"model": "residual_mlp", "model__hidden": [6, 6, 6], "model__batch_norm": True}
DROPOUT = DEEP | {"model__hidden_dropout": 0.3, "model__input_dropout": 0.2}
NETWORKS = {"deep": DEEP, "wide_resnet": WIDE, "lenet": LENET, "residual": RESIDUAL}
SPELT = [
    *(("bp", "g", network) for network in NETWORKS),
    *(("fa", "g_fa", network) for network in NETWORKS),
    ("dfa", "g_dfa", "deep"),
    ("dfa", "g_dfa", "lenet"),
    ("bp", "b_next @ t(W) * D", "deep"),
    ("fa", "b_next @ t(R) * D", "deep"),
    ("fa", "q_fa * D", "deep"),
    ("dfa", "b_top @ R_top * D", "deep"),
    ("dfa", "q_dfa * D", "deep"),
]


@pytest.mark.parametrize(("name", "formula", "network"), SPELT)
def test_a_formula_equals_the_rule_that_it_spells(make_config, name, formula, network):
    settings = NETWORKS[network] | {"optimizer": "adam", "trainer__precision": "fp32"}
    spelt = people(make_config, "formula", learning_rule__formula=formula, **settings)
    found, expected = stepped(spelt), stepped(people(make_config, name, **settings))
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in found.items())


@pytest.mark.parametrize(("name", "formula"), [("bp", "g"), ("fa", "g_fa"), ("dfa", "g_dfa")])
@pytest.mark.parametrize("native", [False, True])
def test_so_it_does_in_bf16_and_with_dropout(make_config, monkeypatch, name, formula, native):
    monkeypatch.setattr("fabench.population.precision.cpu_has_bf16", lambda: native)
    settings = DROPOUT | {"trainer__precision": "bf16"}
    spelt = people(make_config, "formula", learning_rule__formula=formula, **settings)
    found, expected = stepped(spelt), stepped(people(make_config, name, **settings))
    assert all(torch.equal(value, expected[key]) for key, value in found.items())


# -- Operands, and terms made of them --------------------------------------------------------


def place(draw_network, formula, layer=1, masks=None):
    """Of a tanh network 6-5-4-3-2, whose teaching signals above the layer are any."""
    net, own = draw_network((6, 5, 4, 3, 2), "tanh", bias=True), rule(formula)
    B = [net.normal(3, *shape) for shape in own.feedback_shapes(net.layers)]
    S = [net.normal(3, layer.fan_in, layer.fan_out) for layer in net.layers[1:]]
    part = HandPart(net.layers, **vars(net.weights), B=B, S=S)
    part.masks = masks
    passed = part.forward(net.x, training=True)
    deltas = {n: net.normal(3, 4, net.layers[n].units) for n in range(layer + 1, 4)}
    return Place(own, part, passed, deltas, layer), net, B, S


def loops(net, B, S, deltas, layer, masks):
    """Every operand of every row, unit by unit."""
    found = {name: [] for name in OPERANDS}
    for r in range(3):
        W, b = ([m[r].numpy() for m in own] for own in (net.weights.W, net.weights.b))
        below, sums, shown = net.x[r].numpy(), [], []
        for n in range(4):
            sums.append(below @ W[n] + b[n])
            mask = np.ones_like(sums[n]) if n == 3 or masks is None else masks[n + 1][r].numpy()
            shown.append(below := mask * np.tanh(sums[n]))
            if n == layer:
                D = mask * (1 - np.tanh(sums[n]) ** 2)
        above, e = deltas[layer + 1][r].numpy(), deltas[3][r].numpy()
        R, R_top = B[layer][r].numpy().T, B[3 + layer][r].numpy()
        q, q_fa, q_dfa = (
            np.array([[sum(s[i, o] * M[j, o] for o in range(s.shape[1])) for j in range(len(M))]
                      for i in range(len(s))])
            for s, M in ((above, W[layer + 1]), (above, R), (e, R_top.T))
        )  # fmt: skip
        values = {
            "W": W[layer + 1], "R": R, "S": S[layer][r].numpy(), "R_top": R_top, "D": D,
            "h_pre": sums[layer], "h": shown[layer], "h_next_pre": sums[layer + 1], "b_top": e,
            "b_next": above, "q": q, "g": q * D, "q_fa": q_fa, "g_fa": q_fa * D, "q_dfa": q_dfa,
            "g_dfa": q_dfa * D,
        }  # fmt: skip
        for name, value in values.items():
            found[name].append(value)
    return {name: np.stack(value) for name, value in found.items()}


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("dropout", [False, True])
def test_operands_are_what_they_say(draw_network, layer, dropout):
    masks = None
    if dropout:
        rng = torch.Generator().manual_seed(0)
        masks = [None] + [2.0 * (torch.rand(3, 4, n, generator=rng) > 0.5) for n in (5, 4, 3)]
    found, net, B, S = place(draw_network, "b_next @ t(R) + g_dfa", layer, masks)
    expected = loops(net, B, S, found.deltas, layer, masks)
    for name in OPERANDS:
        np.testing.assert_allclose(found(parse(name)), expected[name], rtol=1e-9, err_msg=name)


TERMS = {
    "b_next @ t(W)": lambda v: np.einsum("rbo,rio->rbi", v["b_next"], v["W"]),
    "t(g) @ h": lambda v: np.einsum("rbi,rbj->rij", v["g"], v["h"]),
    "clip(10 * h, 0.5)": lambda v: np.clip(10 * v["h"], -0.5, 0.5),
    "2 + g / (0 * g)": lambda v: np.full_like(v["g"], 2),
    "g / row2(b_next)": lambda v: v["g"] / np.sqrt((v["b_next"] ** 2).sum(2, keepdims=True)),
    "min(g, 0.1) - -h": lambda v: np.where(v["g"] < 0.1, v["g"], 0.1) + v["h"],
}


@pytest.mark.parametrize("formula", TERMS)
def test_terms_are_computed_as_they_are_written(draw_network, formula):
    found, net, B, S = place(draw_network, "b_next @ t(R) + g_dfa")
    values = loops(net, B, S, found.deltas, 1, None)
    np.testing.assert_allclose(found(parse(formula)), TERMS[formula](values), rtol=1e-9)


def test_a_normalised_signal_goes_down_through_the_layers(draw_network):
    """g / fro(g), layer after layer, against NumPy."""
    net = draw_network((6, 5, 4, 2), "tanh", bias=True)
    part, e = HandPart(net.layers, **vars(net.weights)), net.normal(3, 4, 2)
    deltas = rule("g / fro(g)").teaching_signals(e, net.y, part.forward(net.x), part)
    for r in range(3):
        below, slopes = net.x[r].numpy(), []
        for w, b in zip(net.weights.W, net.weights.b, strict=True):
            below = np.tanh(below @ w[r].numpy() + b[r].numpy())
            slopes.append(1 - below**2)
        delta = e[r].numpy()
        for layer in (1, 0):
            g = delta @ net.weights.W[layer + 1][r].numpy().T * slopes[layer]
            delta = g / np.sqrt((g**2).sum())
            np.testing.assert_allclose(deltas[layer][r], delta, rtol=1e-9)


# -- Running averages ------------------------------------------------------------------------


class Keeping(HandPart):
    def put(self, name, value):
        self.matrices[name[0]][int(name[1:])] = value.expand(3, -1, -1)


def test_averages_run_along(draw_network):
    """Of a term with examples, and of the weights, over four steps, in two layers."""
    net, own = draw_network((6, 5, 4, 3)), rule("bn(g) + running_mean(g) + 0 * g @ running_std(W)"
                                                " @ t(running_mean(W))")  # fmt: skip
    table = own.parameters(net.layers, InitOfB("uniform", 1.0))
    assert {name: p.shape for name, p in table.items()} == {
        "w0": (1, 1), "m0": (1, 5), "v0": (1, 5), "m1": (5, 4), "v1": (5, 4),
        "m2": (1, 4), "v2": (1, 4), "m3": (4, 3), "v3": (4, 3),
    }  # fmt: skip
    assert all(p.moves == "put" and not p.draw(None).any() for p in table.values())
    state = {kind: [torch.zeros(3, *p.shape).double() for name, p in table.items()
                    if name[0] == kind] for kind in "wmv"}  # fmt: skip
    part = Keeping(net.layers, **vars(net.weights), **state)
    seen = {n: [] for n in (0, 1)}
    for step in range(4):
        x, e = net.normal(3, 5 - step, 6), net.normal(3, 5 - step, 3)  # batches shrink
        passed = part.forward(x)
        deltas = own.teaching_signals(e, net.y, passed, part)
        for layer in (1, 0):
            g = (
                deltas[layer + 1] @ net.weights.W[layer + 1].mT * (1 - passed.f[layer] ** 2)
            ).numpy()
            seen[layer].append(g)
            r = 0.9 ** np.arange(step, -1, -1)
            r /= r.sum()
            mean = variance = 0.0
            for n, past in enumerate(seen[layer]):
                mean = mean + r[n] * past.mean(1, keepdims=True)
                until = [0.9 ** (n - k) for k in range(n + 1)]
                then = sum(
                    u * p.mean(1, keepdims=True) for u, p in zip(until, seen[layer], strict=False)
                )
                then = then / sum(until)
                variance = variance + r[n] * ((past - then) ** 2).mean(1, keepdims=True)
            expected = (g - mean) / np.sqrt(variance) + mean
            np.testing.assert_allclose(deltas[layer], expected, rtol=1e-8)
        again = own.teaching_signals(e, net.y, passed, part)
        assert all(torch.equal(deltas[n], again[n]) for n in deltas), "asking changes nothing"
        own.adapt(part, passed, e, deltas)


def test_a_constant_has_no_direction(draw_network):
    """bn of W, which has not moved: 0, not 0 / 0."""
    net, own = draw_network((6, 5, 3)), rule("q @ bn(W) @ t(W)")
    w, m, v = (torch.zeros(3, *shape).double() for shape in ((1, 1), (5, 3), (5, 3)))
    part = HandPart(net.layers, **vars(net.weights), w=[w], m=[m], v=[v])
    deltas = own.teaching_signals(net.normal(3, 4, 3), net.y, part.forward(net.x), part)
    assert not deltas[0].any()


# -- Noise -----------------------------------------------------------------------------------


def test_noise_is_what_it_says(draw_network):
    net = draw_network((6, 100, 2))
    x = net.normal(3, 100, 6)

    def noise(stream, shape):
        return torch.from_numpy(np.stack([
            np.random.default_rng([r, *stream.encode()]).normal(size=shape) for r in range(3)
        ]))  # fmt: skip

    part = HandPart(net.layers, noise, **vars(net.weights))
    found = Place(rule("g"), part, part.forward(x), {1: net.normal(3, 100, 2)}, 0)
    g, noisy = found(parse("g")), found(parse("add_noise(g, 0.5) - g"))
    assert abs(noisy.std() - 0.5) < 0.01
    assert abs(noisy.mean()) < 0.01
    ratio = found(parse("multiply_noise(g, 0.1)")) / g
    assert abs(ratio.std() - 0.1) < 0.002
    assert abs(ratio.mean() - 1) < 0.002
    kept = found(parse("drop(g, 0.3)"))
    assert abs((kept == 0).double().mean() - 0.3) < 0.01
    torch.testing.assert_close(kept[kept != 0], (g / 0.7)[kept != 0])
    assert not found(parse("drop(g, 0.3) - drop(g, 0.3)")).any(), "one term, one draw"
    other = found(parse("add_noise(g, 0.1) - g"))
    assert abs((other / 0.1 * noisy / 0.5).mean()) < 0.02, "terms have draws of their own"


NOISY = "multiply_noise(drop(g, 0.3), 0.5) + add_noise(0 * g, 0.01)"


def test_noise_is_a_function_of_seed_and_step(make_config):
    settings = DEEP | {"learning_rule__formula": NOISY}
    both, again = (people(make_config, "formula", **settings) for _ in range(2))
    first, second = stepped(both, 1), stepped(again, 1)
    assert all(torch.equal(first[key], second[key]) for key in first)
    alone = stepped(people(make_config, "formula", seeds=[1], **settings), 1)
    x, y = batch()
    alone = people(make_config, "formula", seeds=[1], **settings)
    alone.step(x[1:], y[1:])
    for key, value in alone.snapshot(slice(None)).items():
        assert torch.equal(value[0], first[key][1])
    later = people(make_config, "formula", **settings)
    later.steps = 1
    assert not torch.equal(stepped(later, 1)["W0"], first["W0"])


def test_only_what_draws_is_no_cuda_graph():
    layers, cuda = (Layer(6, 5), Layer(5, 2)), torch.device("cuda")
    for formula in ("g", "clip(g, 1) + bn(g)", "g_fa"):
        assert is_a_graph(cuda, rule(formula), layers)
    for formula in ("drop(g, 0.1)", "g + add_noise(0 * h, 1)", "multiply_noise(g, 1)"):
        assert not is_a_graph(cuda, rule(formula), layers)


# -- In training -----------------------------------------------------------------------------

LEARNED = ["g / fro(g) + 0.5 * g", "min(g / norm2(g), clip(h, 1))", "g / norm2(g) * sign(bn(D))",
           "g / norm_inf(g) * (running_std(D) / matrix1(running_std(D)))",
           "max(q - 10, g / norm2(g))", "0.5 * g / (running_std(D) + 0.1)"]  # fmt: skip


SEEN = [
    *((formula, "deep") for formula in LEARNED),
    (NOISY, "lenet"),
    ("bn(g_fa) + bn(q_dfa)", "lenet"),
    (LEARNED[2], "wide_resnet"),
    (LEARNED[2], "residual"),
]


@pytest.mark.parametrize(("formula", "network"), SEEN)
def test_published_formulas_move_every_weight(make_config, formula, network):
    population = people(make_config, "formula", learning_rule__formula=formula, **NETWORKS[network])
    before = {name: w.clone() for name, w in population.trained().items()}
    assert all(value.isfinite().all() for value in stepped(population, 2).values())
    moved = {name: bool((w != before[name]).any()) for name, w in population.trained().items()}
    assert all(moved[name] for name in moved if name.startswith("W"))


def test_rows_equal_solo_runs(make_config):
    settings = DEEP | {"learning_rule__formula": "bn(g) + g_fa / fro(S)"}
    found = stepped(people(make_config, "formula", **settings))
    x, y = batch()
    for row in (0, 1):
        alone = people(make_config, "formula", seeds=[row], **settings)
        for _ in range(3):
            alone.step(x[row : row + 1], y[row : row + 1])
        for key, value in alone.snapshot(slice(None)).items():
            assert torch.equal(value[0], found[key][row]), key


def test_division_by_0_is_0_and_a_formula_that_grows_diverges_in_a_sentence(make_config):
    """0 / 0 stops what it stands in; nothing is NaN."""
    settings = DEEP | {"learning_rule__formula": "g / (0 * h)"}
    population = people(make_config, "formula", **settings)
    before = population.trained()["W0"].clone()
    assert all(value.isfinite().all() for value in stepped(population).values())
    assert torch.equal(population.trained()["W0"], before)


def test_images_and_flat_terms_meet_element_by_element(make_config):
    """Of two convolutions: what a product with a matrix or a column has made flat is as before."""
    signals = []
    for formula in ("2 * g + h", "t(t(g) / 0.5) + h", "2 * g * (g + 5) / (g + 5) + h"):
        population = people(make_config, "formula", learning_rule__formula=formula, **LENET)
        part, (x, y) = population.part(slice(0, 1)), batch(1)
        passed = part.forward(x)
        e = part.error(passed.output, y)
        signals.append(part.rule.teaching_signals(e, y, passed, part))
    for layer, signal in signals[0].items():
        for other in signals[1:]:
            torch.testing.assert_close(other[layer].flatten(2), signal.flatten(2))


def test_random_matrices(make_config):
    """S is 0 or 1, R is fa's, R_top dfa's; both together are different matrices."""
    S = people(make_config, "formula", learning_rule__formula="b_next @ t(S) * D", **DEEP)
    for number, shape in enumerate([(7, 6), (6, 5), (5, 10)]):
        drawn = S.tensors[f"S{number}"]
        assert drawn.shape == (2, *shape)
        assert set(drawn.unique().tolist()) == {0.0, 1.0}
        assert abs(drawn.mean() - 0.5) < 0.15
    assert (S.tensors["S0"][0] != S.tensors["S0"][1]).any()
    both = people(make_config, "formula", learning_rule__formula="g_fa + g_dfa", **DEEP)
    fa, dfa = (people(make_config, name, **DEEP) for name in ("fa", "dfa"))
    for number in range(3):
        assert torch.equal(both.tensors[f"B{number}"], fa.tensors[f"B{number}"])
        assert both.tensors[f"B{number + 3}"].shape == dfa.tensors[f"B{number}"].shape


@pytest.mark.parametrize(
    ("formula", "like"), [("g_fa", "fa"), ("g_dfa", "dfa"), ("g_fa * g_dfa", "fa")]
)
def test_feedback_aligns_as_the_rules_does(make_config, formula, like):
    settings = DEEP | {"init_of_B": "transported"}
    ours = people(make_config, "formula", learning_rule__formula=formula, **settings)
    theirs = people(make_config, like, **settings)
    assert all(map(torch.equal, ours.matrices("B"), theirs.matrices("B")))
    pairs, expected = (
        population.rule.alignment_pairs(population.matrices("W"), population.matrices("B"))
        for population in (ours, theirs)
    )
    for pair, own in zip(pairs, expected, strict=True):
        assert all(map(torch.equal, pair, own))


# -- As a configuration ----------------------------------------------------------------------


def config(make_config, formula, **settings):
    return make_config(learning_rule="formula", learning_rule__formula=formula, **settings)


def test_a_run_is_what_its_simplified_formula_says(make_config):
    one = config(make_config, "g/fro( 1*g )")
    assert one.learning_rule.formula == "g / fro(g)"
    assert one.identity() == config(make_config, "g / fro(g)").identity()
    assert one.identity() != config(make_config, "g / fro(h)").identity()
    assert config(make_config, "g / fro(g)", optimizer__lr=3.0).architecture() == one.architecture()


WITH_FEEDBACK = {"g / fro(g)": False, "b_next @ t(S)": False, "g_fa": True,
                 "g + b_top @ R_top": True}  # fmt: skip


@pytest.mark.parametrize(("formula", "counts"), WITH_FEEDBACK.items())
def test_init_of_B_counts_where_there_are_random_matrices(make_config, formula, counts):
    one, other = (
        config(make_config, formula, init_of_B="uniform", init_of_B__scale=scale)
        for scale in (1.0, 2.0)
    )
    assert one.has_feedback == counts
    assert (one.identity() != other.identity()) == counts
    assert ("uniform" in one.name()) == counts


def test_what_does_not_fit_is_refused_in_a_sentence(make_config):
    told = r"\(h @ W is \[batch, 1\], not \[batch, 5\], in layer 1\): model.name=mlp is not for it"
    with pytest.raises(UserError, match=f"^learning_rule=formula has a formula .* fit {told}"):
        config(make_config, "h @ W")
    with pytest.raises(UserError, match=r"^learning_rule\.formula=g\.T: it should be of operands"):
        config(make_config, "g.T")
    with pytest.raises(UserError, match=r"^init_of_B=transported"):
        config(make_config, "g_dfa", init_of_B="transported", **RESIDUAL)
