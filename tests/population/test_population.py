"""Axes: R rows, N examples, B batch, I fan-in, O fan-out."""

import numpy as np
import pytest
import torch

from fabench.model.layer.initialization import BIAS_INITS, FEEDBACK_INITS, WEIGHT_INITS
from fabench.model.layer.network import forward
from fabench.population import descent
from fabench.population import population as module
from fabench.population.descent import Descent
from fabench.population.examples import Examples
from fabench.population.lanes import Lanes
from fabench.population.metrics import network_metrics
from fabench.population.population import Row
from fabench.population.precision import flushed_denormals
from fabench.randomness import generator
from fabench.run import registry
from fabench.run.trainer import population_of

CPU = torch.device("cpu")
BATCH = 16  # of 40 examples: two batches and a short one


def build(config, rows=None):
    rows = rows or [Row(seed, config.scalars()) for seed in config.seeds]
    return population_of(config, rows, CPU)


@pytest.fixture(scope="module")
def batches(make_images):
    """The batches of two epochs, for a population's seeds."""

    def draw(people, epochs=2):
        seeds = [row.seed for row in people.rows]
        examples = Examples(make_images(), people.task, seeds, CPU, people.operand)
        for number in range(1, epochs + 1):
            yield from examples.batches(examples.epoch("train", number), BATCH)

    return draw


def trained(people, steps):
    """The population after the steps, each an (x, y)."""
    for x, y in steps:
        people.step(x, y)
    return people


def tensors(people):
    """All that training changes, by name."""
    return people.snapshot(slice(None))


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


# -- Drawing ---------------------------------------------------------------------------------


def test_every_matrix_has_its_stream(make_config):
    """The numbers of published results: seed, name and layer decide, and nothing else does."""
    config = make_config(
        learning_rule="dfa", init_of_B="gaussian", init_of_B__scale=0.5, seed=[4, 9], k=1,
        model__hidden=[6, 3], model__bias=True, model__weight_scale=2.0,
    )  # fmt: skip
    people = build(config)
    uniform = WEIGHT_INITS["torch_uniform"]
    for r, seed in enumerate((4, 9)):
        for layer, (i, o) in enumerate([(64, 6), (6, 3), (3, 1)]):
            W = 2 * uniform(generator(seed, f"weights {layer}"), i, o)
            b = BIAS_INITS["torch_uniform"](generator(seed, f"biases {layer}"), i, o)
            np.testing.assert_array_equal(people.matrices("W")[layer][r], W)
            np.testing.assert_array_equal(people.matrices("b")[layer][r], b)
        for layer, n in enumerate((6, 3)):
            B = FEEDBACK_INITS["gaussian"](generator(seed, f"feedback {layer}"), n, 1).T / 2
            np.testing.assert_array_equal(people.matrices("B")[layer][r], B)


def test_gates_have_a_stream_too(make_config):
    people = build(make_config(learning_rule="ntk", seed=[4], k=1))
    G = WEIGHT_INITS["torch_uniform"](generator(4, "gates 0"), 64, 5)
    np.testing.assert_array_equal(people.matrices("G")[0][0], G)


def test_rules_start_from_the_same_weights(make_config):
    """So that they are compared paired by seed."""
    expected = build(make_config(learning_rule="bp", model__hidden=[6, 3])).matrices("W")
    for rule in ("dfa", "fa", "ifa", "ntk", "relu_features", "linear_features"):
        W = build(make_config(learning_rule=rule, model__hidden=[6, 3])).matrices("W")
        assert all(torch.equal(w, e) for w, e in zip(W, expected, strict=True))
    drawn = build(make_config(learning_rule="gaussian_features", model__hidden=[6, 3])).matrices(
        "W"
    )
    assert torch.equal(drawn[-1], expected[-1])


@pytest.mark.parametrize("rule", ["fa", "dfa", "ifa"])
def test_transported_feedback_is_a_copy_of_the_first_weights(make_config, batches, rule):
    settings = {"init_of_B": "transported", "init_of_B__scale": 0.5, "model__hidden": [6, 3]}
    people = build(make_config(learning_rule=rule, **settings, optimizer__lr=0.5))
    W = [w.clone() for w in people.matrices("W")]
    expected = {
        "fa": [W[1].mT, W[2].mT],
        "dfa": [(W[1] @ W[2]).mT, W[2].mT],
        "ifa": [(W[1] @ W[2]).mT],
    }[rule]
    trained(people, batches(people))
    assert not torch.allclose(people.matrices("W")[2], W[2])
    for b, e in zip(people.matrices("B"), expected, strict=True):
        torch.testing.assert_close(b, e / 2, rtol=1e-5, atol=1e-7)


def test_parameters_are_counted(make_config):
    def count(rule, bias):
        settings = {"model__hidden": [5, 4], "model__bias": bias, "k": 2}
        return build(make_config(learning_rule=rule, **settings)).n_parameters()

    W, b = 128 * 5 + 5 * 4 + 4, 5 + 4 + 1
    for rule in ("bp", "dfa", "ntk"):
        assert count(rule, False) == W
        assert count(rule, True) == W + b
    assert count("relu_features", False) == 4
    assert count("relu_features", True) == 4 + 1


# -- One row, one run ------------------------------------------------------------------------

OPTIMIZERS = ["sgd", "momentum", "adam", "adadelta", "rmsprop"]
RATE = {"sgd": 0.2, "momentum": 0.05, "adam": 0.02, "adadelta": 1.0, "rmsprop": 0.01}


LEARNED = [
    "kolen_pollack", "weight_mirror", "dkp", "product_feedback", "difference_target_propagation",
    "target_propagation", "simplified_difference_target_propagation",
    "direct_difference_target_propagation", "fdfa",
    "local_representation_alignment",
]  # fmt: skip
OTHERS = ["pepita", "forward_forward", "predictive_coding", "synthetic_gradients"]
"""That descend otherwise than by teaching signals."""


@pytest.mark.parametrize("rule", ["bp", "dfa", "ifa", "ntk", "brsf", "drtp", *LEARNED, *OTHERS])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_row_is_the_run_alone(make_config, batches, optimizer, rule):
    """Rows differ in seed, learning rate and weight decay; two share a seed."""
    lr = RATE[optimizer]
    settings = {"model__hidden": [6, 4], "model__bias": True, "model__activation": "tanh"}
    config = make_config(learning_rule=rule, optimizer=optimizer, k=2, **settings)
    scalars = config.scalars()
    rows = [
        Row(3, scalars | {"optimizer.lr": lr, "trainer.weight_decay": 0.0}),
        Row(3, scalars | {"optimizer.lr": lr / 3, "trainer.weight_decay": 0.1}),
        Row(8, scalars | {"optimizer.lr": lr, "trainer.weight_decay": 0.02}),
    ]
    together = build(config, rows)
    start = tensors(together)
    together = tensors(trained(together, batches(together)))
    for r, row in enumerate(rows):
        alone = build(config, [row])
        alone = tensors(trained(alone, batches(alone)))
        assert alone.keys() == together.keys()
        for name in alone:
            moved = (together[name][r] - start[name][r]).abs().max().item()
            assert moved > 0 or name[0] in "BF"  # fixed feedback
            tolerance = {"rtol": 1e-4, "atol": 1e-4 * moved + 1e-12}
            torch.testing.assert_close(alone[name][0], together[name][r], **tolerance)
    for name in ("W0", "W1", "W2"):  # the tolerance tells the rows apart
        for r, other in ((0, 1), (0, 2), (1, 2)):
            assert not torch.allclose(together[name][r], together[name][other], rtol=1e-2)


@pytest.mark.parametrize("side_by_side", [False, True], ids=["one by one", "together"])
@pytest.mark.parametrize("rule", [*LEARNED, *OTHERS])
def test_a_row_has_its_rules_numbers(make_config, batches, monkeypatch, rule, side_by_side):
    """Whatever the others have."""
    settings = {"model__hidden": [6, 4], "model__bias": True, "model__activation": "tanh", "k": 2}
    config = make_config(learning_rule=rule, optimizer__lr=0.05, **settings)
    scalars = config.scalars()
    own = [key for key in scalars if key.startswith("learning_rule.")]
    rows = [Row(3, scalars | {key: factor * scalars[key] for key in own}) for factor in (1, 0.5)]
    monkeypatch.setattr(module, "computes_together", lambda *_: side_by_side)
    together = build(config, rows)
    together = tensors(trained(together, batches(together)))
    for r, row in enumerate(rows):
        alone = build(config, [row])
        for name, tensor in tensors(trained(alone, batches(alone))).items():
            torch.testing.assert_close(tensor[0], together[name][r], rtol=1e-4, atol=1e-6)
    assert bool(own) == any(not torch.equal(*tensor) for tensor in together.values())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_row_that_diverges_leaves_the_others_alone(make_config, batches, optimizer):
    config = make_config(optimizer=optimizer, trainer__weight_decay=0.01, model__hidden=[6, 4])
    healthy, sick = build(config), build(config)
    for w in [*sick.trained().values(), *sick.matrices("B")]:
        w[1] = torch.nan
    healthy, sick = (tensors(trained(people, batches(people))) for people in (healthy, sick))
    for name in healthy:
        assert torch.equal(sick[name][[0, 2]], healthy[name][[0, 2]])
        assert sick[name][1].isnan().all()


# -- The step --------------------------------------------------------------------------------


def numpy_training(people, steps, optimizer, h):
    """Backpropagation of one tanh layer with biases, in float64 NumPy."""
    p = [
        w.double().numpy().copy()
        for w in (
            people.matrices("W")[0],
            people.matrices("b")[0],
            people.matrices("W")[1],
            people.matrices("b")[1],
        )
    ]
    m, v = [np.zeros_like(w) for w in p], [np.zeros_like(w) for w in p]
    for t, (x, y) in enumerate(steps, 1):
        x, y = x.double().numpy(), y.double().numpy()
        hidden = np.tanh(x @ p[0] + p[1])
        e = 1 / (1 + np.exp(-(hidden @ p[2] + p[3]))) - y
        delta = (e @ p[2].swapaxes(1, 2)) * (1 - hidden**2)
        n = x.shape[1]
        g = [
            np.einsum("rni,rno->rio", x, delta) / n,
            delta.sum(1, keepdims=True) / n,
            np.einsum("rni,rno->rio", hidden, e) / n,
            e.sum(1, keepdims=True) / n,
        ]
        for i in range(4):
            gradient = g[i] + h["trainer.weight_decay"] * p[i]  # L2: the penalty's own gradient
            if optimizer == "sgd":
                p[i] -= h["optimizer.lr"] * gradient
            else:
                m[i] = h["optimizer.beta1"] * m[i] + (1 - h["optimizer.beta1"]) * gradient
                v[i] = h["optimizer.beta2"] * v[i] + (1 - h["optimizer.beta2"]) * gradient**2
                m_hat, v_hat = (
                    m[i] / (1 - h["optimizer.beta1"] ** t),
                    v[i] / (1 - h["optimizer.beta2"] ** t),
                )
                p[i] -= h["optimizer.lr"] * m_hat / (np.sqrt(v_hat) + h["optimizer.epsilon"])
    return dict(zip(("W0", "b0", "W1", "b1"), p, strict=True))


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_follows_numpy(make_config, batches, optimizer, weight_decay):
    """Batch means, short batches too; biases; weight decay as an L2 penalty on all of them."""
    settings = {"model__activation": "tanh", "model__bias": True, "optimizer__lr": 0.2, "k": 2}
    if optimizer == "adam":
        settings["optimizer__lr"] = 0.02
        settings["optimizer__epsilon"] = 1e-3  # tiny gradients do not become rounding's sign
    config = make_config(
        learning_rule="bp", optimizer=optimizer, trainer__weight_decay=weight_decay, **settings
    )
    people = build(config)
    before = people.matrices("W")[0].clone()
    steps = [(x.clone(), y) for x, y in batches(people)]
    assert [x.shape[1] for x, _ in steps] == [16, 16, 8] * 2
    expected = numpy_training(people, steps, optimizer, config.scalars())
    trained(people, steps)
    assert people.steps == 6
    assert (people.matrices("W")[0] - before).abs().max() > 0.05
    for name, w in people.trained().items():
        np.testing.assert_allclose(w, expected[name], rtol=1e-4, atol=1e-6)


def test_step_returns_what_came_before_the_update(make_config, batches):
    people = build(make_config(optimizer__lr=1.0))
    x, y = next(batches(people))
    output = forward(people.layers, people.tensors, x).output.clone()
    torch.testing.assert_close(people.step(x, y), output)
    assert not torch.allclose(forward(people.layers, people.tensors, x).output, output, rtol=1e-2)


@pytest.mark.parametrize("kernel", ["torch", "onednn"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("rule", ["bp", "dfa", "relu_features", *LEARNED])
def test_plain_descent_is_descent(make_config, batches, monkeypatch, rule, weight_decay, kernel):
    """A gradient that goes into its weights as it is computed, at once (torch's kernel) or block by
    block (oneDNN's); apart, it has an update as others."""
    config = make_config(
        learning_rule=rule, model__hidden=[6, 4], model__bias=True, optimizer__lr=0.2,
        trainer__weight_decay=weight_decay,
    )  # fmt: skip
    monkeypatch.setattr(descent, "sums_first", lambda *shape: True)
    plain = build(config)
    plain.operand.fp32_kernel = kernel
    start = tensors(plain)
    monkeypatch.setattr(descent, "BLOCK", 5 * 6)  # of W0's: several
    plain = tensors(trained(plain, batches(plain)))
    monkeypatch.setattr(Descent, "is_plain", lambda self, g: False)
    whole = build(config)
    whole = tensors(trained(whole, batches(whole)))
    for name in plain:
        torch.testing.assert_close(plain[name], whole[name], rtol=1e-5, atol=1e-6)
        assert name[0] == "B" or not torch.allclose(plain[name], start[name], rtol=1e-3)


@pytest.mark.parametrize("shape", [(128, 784, 512), (128, 512, 10), (1437, 64, 40), (7, 5, 3)])
def test_a_product_is_fused_only_where_it_loses_nothing(shape):
    """Against float64, each example's term being below half a unit of the weights' last digit."""
    batch, i, o = shape
    rng = torch.Generator().manual_seed(1)
    h, delta = (torch.rand(1, batch, n, generator=rng) for n in (i, o))
    W, delta = torch.ones(1, i, o), 2**-26 * delta
    expected = (W.double() - h.double().mT @ delta.double()).float()
    fused = W.baddbmm(h.mT, delta, alpha=-1)
    if descent.sums_first(batch, i, o):
        assert (fused - expected).abs().max() <= 2**-24  # half a unit, the other way
        assert (fused == expected).double().mean() > 0.99
    assert not descent.sums_first(2**14, 64, 64)  # no kernel has room for so many


@pytest.mark.parametrize("together", [False, True])
def test_plain_descent_sums_over_the_batch_before_it_rounds(make_config, monkeypatch, together):
    """Each example's term is below half a unit of the weights' last digit. Oracle: momentum 0,
    whose gradients are sums of their own."""
    monkeypatch.setattr(module, "computes_together", lambda *_: together)
    x = torch.randn(1, 4096, 192, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(1, 4096, 1)
    moved = []
    for name, settings in (("sgd", {}), ("momentum", {"optimizer__momentum": 0.0})):
        people = build(make_config(
            optimizer=name, optimizer__lr=1e-4, learning_rule="bp", model__hidden=[40, 30],
            seed=[0], **settings,
        ))  # fmt: skip
        start = tensors(people)
        end = tensors(trained(people, [(x, y)] * 20))
        moved.append({name: end[name] - start[name] for name in ("W0", "W1", "W2")})
    for name, change in moved[0].items():
        distance = (change - moved[1][name]).norm() / moved[1][name].norm()
        assert distance < 0.01, name


@pytest.mark.parametrize("optimizer", ["adam", "adadelta", "momentum"])
@pytest.mark.parametrize("block", [1, 13, 50])
def test_updates_in_blocks_are_whole_updates(make_config, batches, monkeypatch, optimizer, block):
    config = make_config(
        optimizer=optimizer, trainer__weight_decay=0.1, model__hidden=[6, 4], model__bias=True
    )
    whole = build(config)
    whole = tensors(trained(whole, batches(whole)))
    monkeypatch.setattr(descent, "BLOCK", block)
    blocks = build(config)
    blocks = tensors(trained(blocks, batches(blocks)))
    for name in whole:
        torch.testing.assert_close(blocks[name], whole[name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", registry.names("optimizer"))
def test_all_rows_at_once_give_what_they_give_one_by_one(
    make_config, make_images, batches, monkeypatch, optimizer, precision
):
    """What a GPU computes, [R, I, O] tensors and scalars [R, 1, 1], on a CPU."""
    config = make_config(
        optimizer=optimizer, model__hidden=[6, 4], model__bias=True, trainer__precision=precision
    )
    rows = [
        Row(seed, {**config.scalars(), "optimizer.lr": lr, "trainer.weight_decay": decay})
        for seed, lr, decay in ((0, 0.01, 0.0), (1, 0.02, 0.1), (0, 0.03, 0.01))
    ]
    one_by_one = population_of(config, rows, CPU)
    steps = [(x.clone(), y) for x, y in batches(one_by_one)]
    monkeypatch.setattr(module, "computes_together", lambda *_: True)
    at_once = population_of(config, rows, CPU)
    assert len(at_once._parts) == 1
    assert len(one_by_one._parts) == 3
    # a last-digit difference can round an operand to its bf16 neighbour, 2^-8 away
    close = {"rtol": 1e-4, "atol": 1e-5} if precision == "fp32" else {"rtol": 1e-2, "atol": 4e-3}
    for x, y in steps:
        torch.testing.assert_close(at_once.outputs(x), one_by_one.outputs(x), **close)
        torch.testing.assert_close(at_once.step(x, y), one_by_one.step(x, y), **close)
    expected = tensors(one_by_one)
    for name, value in tensors(at_once).items():
        torch.testing.assert_close(value, expected[name], **close)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("rule", ["brsf", "drtp", *LEARNED])
def test_all_rows_at_once_give_every_rule_what_they_give_one_by_one(
    make_config, batches, monkeypatch, rule, precision
):
    config = make_config(
        learning_rule=rule, optimizer="momentum", model__hidden=[6, 4], trainer__precision=precision
    )
    scalars = config.scalars()
    rows = [Row(0, scalars), Row(1, {**scalars, "trainer.weight_decay": 0.1}), Row(0, scalars)]
    one_by_one = population_of(config, rows, CPU)
    steps = [(x.clone(), y) for x, y in batches(one_by_one)]
    expected = tensors(trained(one_by_one, steps))
    monkeypatch.setattr(module, "computes_together", lambda *_: True)
    at_once = tensors(trained(population_of(config, rows, CPU), steps))
    close = {"rtol": 1e-4, "atol": 1e-5} if precision == "fp32" else {"rtol": 1e-2, "atol": 4e-3}
    for name, value in at_once.items():
        torch.testing.assert_close(value, expected[name], **close)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adam", "model__bias": True},
        {"model__hidden_dropout": 0.5},
        {"learning_rule": "brsf"},
        {"learning_rule": "weight_mirror", "trainer__weight_decay": 0.1},
        {"trainer__precision": "bf16", "optimizer": "rmsprop"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())) or "sgd",
)
def test_rows_in_threads_are_trained_as_one_after_the_other(
    make_config, batches, use_cores, settings
):
    """To the last bit: two threads of one core each, three rows."""
    config = make_config(**{"model__hidden": [6, 4], **settings})
    one_by_one, in_threads = build(config), build(config)
    steps = [(x.clone(), y) for x, y in batches(one_by_one)] * 5
    expected = [one_by_one.step(x, y) for x, y in steps]
    use_cores(2)
    found = list(in_threads.train(steps))
    assert torch.get_num_threads() == 2
    assert in_threads.steps == one_by_one.steps == len(steps)
    for (ours, y), theirs, (_, own) in zip(found, expected, steps, strict=True):
        assert torch.equal(y, own)
        assert torch.equal(ours, theirs)
    weights = tensors(one_by_one)
    assert all(torch.equal(value, weights[name]) for name, value in tensors(in_threads).items())


@pytest.mark.parametrize(
    "hidden, n_parts", [([4] * (module.DEEP - 1), 1), ([4] * (module.DEEP - 2), 3), ([4], 3)]
)
def test_rows_of_very_deep_networks_are_computed_at_once(make_config, hidden, n_parts):
    assert len(build(make_config(model__hidden=hidden))._parts) == n_parts


@pytest.mark.parametrize(("hidden", "n_parts"), [([20], 1), ([600], 3)])
def test_rows_of_small_networks_that_settle_are_computed_at_once(make_config, hidden, n_parts):
    config = make_config(learning_rule="contrastive_hebbian", model__hidden=hidden, k=1)
    assert len(build(config)._parts) == n_parts


@pytest.mark.parametrize("missing", [0, 1])
def test_only_large_networks_have_threads(make_config, batches, use_cores, monkeypatch, missing):
    """A small one's step is mostly Python: its threads would wait for each other."""
    p = build(make_config())
    largest = max(W[0].numel() for W in p.matrices("W"))
    started = []
    monkeypatch.setattr(module, "LANES_FROM", largest + missing)
    monkeypatch.setattr(module, "Lanes", lambda *sizes: started.append(sizes) or Lanes(*sizes))
    use_cores(2)
    assert list(p.train(batches(p)))
    assert started == ([] if missing else [(len(p.rows), 2)])


@pytest.mark.parametrize("cores", [1, 2])
def test_denormal_moments_are_flushed(make_config, batches, use_cores, cores):
    """Of weights without gradients, in every thread that trains; outside, they stay."""
    p = build(make_config(optimizer="adam"))
    moment = p.state["W0"]["first_moment"].fill_(2e-42)
    steps = [(torch.zeros_like(x), y) for x, y in batches(p)]
    use_cores(cores)
    with flushed_denormals():
        assert list(p.train(steps))
    assert (moment == 0).all()
    assert (moment.fill_(2e-42) * 1 != 0).all()


@pytest.mark.parametrize("rule", ["bp", "fa", "dfa", "ifa", "brsf", "drtp", *LEARNED])
def test_without_hidden_layers_every_rule_is_logistic_regression(
    make_config, make_images, batches, rule
):
    config = make_config(learning_rule=rule, model__hidden=[], optimizer__lr=0.1)
    people = build(config)
    assert people.matrices("B") == []
    steps = [(x.clone(), y) for x, y in batches(people)]
    W = people.matrices("W")[0].double().numpy().copy()
    for x, y in steps:
        x = x.double().numpy()
        e = 1 / (1 + np.exp(-(x @ W))) - y.double().numpy()
        W -= 0.1 * np.einsum("rni,rno->rio", x, e) / x.shape[1]
    trained(people, steps)
    assert tensors(people).keys() == {"W0"}
    np.testing.assert_allclose(people.matrices("W")[0], W, rtol=1e-4, atol=1e-6)
    examples = Examples(make_images(), config.task, config.seeds, CPU, people.operand)
    found = network_metrics(people, examples, examples.epoch("train", 0))
    assert list(found) == ["update_alignment", "weight_norm_1", "signal_norm_1"]


# -- bf16 ------------------------------------------------------------------------------------


def rounded(x):
    """To bf16's 8 significant bits, nearest and even, in float64."""
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.rint(mantissa * 2**8), exponent - 8)


def bf16(make_config, monkeypatch, native, **settings):
    monkeypatch.setattr("fabench.population.precision.cpu_has_bf16", lambda: native)
    return build(make_config(trainer__precision="bf16", k=1, **settings))


def data(people):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(3, 16, 64, generator=rng)  # dividing by 16 does not round
    return x, people.operand(x), (torch.randn(3, 16, 1, generator=rng) > 0).float()


def test_rounding_is_bf16s():
    x = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-5, 5).repeat(100)
    ours = torch.tensor(x, dtype=torch.float32)
    np.testing.assert_array_equal(rounded(ours), ours.bfloat16().double())


@pytest.mark.parametrize("native", [False, True], ids=["rounded fp32", "native"])
def test_bf16_rounds_the_operands_of_every_product(make_config, monkeypatch, native):
    """One layer: output = x W, gradient = x^T e / B, from rounded x, W and e."""
    people = bf16(make_config, monkeypatch, native, model__hidden=[], optimizer__lr=1.0)
    W = people.matrices("W")[0].double().numpy().copy()
    exact, x, y = data(people)
    output = people.step(x, y)

    a = rounded(exact) @ rounded(W)
    # summed in float32; the native product is rounded once more as it is written
    tolerance = {"rtol": 2**-8 if native else 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(output.float(), a, **tolerance)
    assert not np.allclose(exact.double().numpy() @ W, a, **tolerance)

    e = rounded(1 / (1 + np.exp(-output.double().numpy())) - y.double().numpy())
    g = rounded(exact).swapaxes(1, 2) @ e / 16
    assert people.matrices("W")[0].dtype == torch.float32
    np.testing.assert_allclose(W - people.matrices("W")[0].double().numpy(), g, **tolerance)
    assert not np.allclose(exact.double().numpy().swapaxes(1, 2) @ e / 16, g, **tolerance)


def test_bf16_without_the_hardware_rounds_hidden_operands_too(make_config, monkeypatch):
    """The same operands as in hardware, as NumberFormat promises: the hidden layer's values are
    operands of the output layer's product."""
    people = bf16(make_config, monkeypatch, False, model__hidden=[200])
    W = [w.double().numpy().copy() for w in people.matrices("W")]
    exact, x, y = data(people)
    output = people.step(x, y)
    hidden = np.maximum(rounded(exact) @ rounded(W[0]), 0)
    # float32's sum may fall on the other side of a rounding boundary: a few values of 200 differ
    # by 2^-8 of themselves, which moves the mean error little
    error = np.abs(output.double().numpy() - rounded(hidden) @ rounded(W[1])).mean()
    unrounded = np.abs(hidden @ rounded(W[1]) - rounded(hidden) @ rounded(W[1])).mean()
    assert error < unrounded / 10


@pytest.mark.parametrize("native", [False, True], ids=["rounded fp32", "native"])
def test_bf16_weights_collect_steps_that_bf16_could_not(make_config, monkeypatch, native):
    """Steps of about 1e-5 of a weight: weights kept in bf16 would never move."""
    people = bf16(make_config, monkeypatch, native, model__hidden=[6], optimizer__lr=1e-4)
    full = build(make_config(k=1, model__hidden=[6], optimizer__lr=1e-4))
    exact, x, y = data(people)
    start = [w.clone() for w in full.matrices("W")]
    for _ in range(20):
        people.step(x, y)
        full.step(exact, y)
    for w, expected, before in zip(people.matrices("W"), full.matrices("W"), start, strict=True):
        assert w.dtype == torch.float32
        move, scale = expected - before, (expected - before).abs().max().item()
        torch.testing.assert_close(w - before, move, rtol=0.05, atol=0.05 * scale)


@pytest.mark.parametrize("optimizer", registry.names("optimizer"))
def test_bf16_leaves_every_optimizer_weights_and_state_in_float32(
    make_config, monkeypatch, optimizer
):
    settings = {"optimizer": optimizer, "model__hidden": [6], "trainer__weight_decay": 0.01}
    people = bf16(make_config, monkeypatch, True, **settings)
    full = build(make_config(k=1, **settings))
    exact, x, y = data(people)
    for _ in range(3):
        people.step(x, y)
        full.step(exact, y)
    expected = tensors(full)
    for name, value in tensors(people).items():
        assert value.dtype == torch.float32
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(value, expected[name], rtol=0.2, atol=0.3 * scale)


# -- Saving ----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adadelta"])
def test_training_continues_from_a_snapshot(make_config, batches, optimizer):
    """Of other networks: what training has not changed, feedback say, seeds bring back."""
    settings = {"learning_rule": "bp", "model__hidden": [6, 4], "model__bias": True}
    people = build(make_config(optimizer=optimizer, **settings))
    steps = [(x.clone(), y) for x, y in batches(people)]
    trained(people, steps[:4])
    slices = (slice(0, 2), slice(2, 3))
    parts = [people.snapshot(rows) for rows in slices]
    copies = [{name: tensor.clone() for name, tensor in part.items()} for part in parts]
    expected = tensors(trained(people, steps[4:]))
    for part, copy in zip(parts, copies, strict=True):
        assert_equal(part, copy)  # what was saved does not train on

    other = build(make_config(optimizer=optimizer, seed=[7, 8, 9], **settings))
    for rows, part in zip(slices, parts, strict=True):
        other.restore(rows, part)
    other.steps = 4
    assert_equal(tensors(trained(other, steps[4:])), expected)


@pytest.mark.parametrize("rule", ["brsf", *LEARNED, *OTHERS])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_learned_feedback_and_noise_continue_from_a_snapshot(make_config, batches, optimizer, rule):
    config = make_config(learning_rule=rule, optimizer=optimizer, model__hidden=[6, 4])
    people = build(config)
    steps = [(x.clone(), y) for x, y in batches(people)]
    middle = tensors(trained(people, steps[:4]))
    assert ("B1 first_moment" in middle) == (optimizer == "adam" and rule in LEARNED)
    other = build(config)
    other.restore(slice(None), middle)
    other.steps = 4
    assert_equal(tensors(trained(other, steps[4:])), tensors(trained(people, steps[4:])))


def test_noise_is_a_function_of_seed_stream_and_step(make_config):
    people = build(make_config(learning_rule="weight_mirror", seed=[4, 9, 2]))
    people.steps = 7
    found = people.part(slice(1, 3)).noise("some", (50, 3))
    for row, seed in zip(found, (9, 2), strict=True):
        expected = generator(seed, "some", 7).standard_normal((50, 3), dtype=np.float32)
        np.testing.assert_array_equal(row, expected)
    people.steps = 8
    assert not torch.equal(people.part(slice(1, 3)).noise("some", (50, 3)), found)


def test_restoring_rows_leaves_the_others(make_config, batches):
    people = build(make_config(optimizer="adam", model__bias=True))
    start = tensors(people)
    steps = [(x.clone(), y) for x, y in batches(people)]
    middle = trained(people, steps).snapshot(slice(1, 2))
    fresh = build(make_config(optimizer="adam", model__bias=True))
    fresh.restore(slice(1, 2), middle)
    now = tensors(fresh)
    for name, tensor in now.items():
        assert torch.equal(tensor[[0, 2]], start[name][[0, 2]])
        assert torch.equal(tensor[1:2], middle[name])


@pytest.mark.parametrize("rule", ["bp", "dfa", "ifa"])
@pytest.mark.parametrize("frozen", [[1], [2], [1, 3]], ids=str)
def test_frozen_layers_stay_as_drawn_and_the_others_learn(make_config, batches, rule, frozen):
    config = make_config(
        learning_rule=rule, model__hidden=[6, 5], model__bias=True, trainer__frozen_layers=frozen
    )
    people = build(config)
    before = [[w.clone() for w in ws] for ws in (people.matrices("W"), people.matrices("b"))]
    trained(people, batches(people))
    for ws, drawn in zip((people.matrices("W"), people.matrices("b")), before, strict=True):
        for number, (w, start) in enumerate(zip(ws, drawn, strict=True), 1):
            assert torch.equal(w, start) == (number in frozen)


# -- Dropout and adversarial training --------------------------------------------------------

DROPOUT = {"model__hidden": [6, 5], "model__input_dropout": 0.25, "model__hidden_dropout": 0.5}


def test_dropout_is_a_function_of_seed_layer_and_step(make_config):

    def masks(people, rows):
        x = torch.ones(rows.stop - rows.start, 50, people.layers[0].n_inputs)
        return people.part(rows).forward(x, training=True).masks

    assert masks(build(make_config()), slice(0, 3)) == [None, None]
    people = build(make_config(seed=[4, 9, 2], **DROPOUT))
    people.steps = 7
    found = masks(people, slice(1, 3))
    assert [tuple(mask.shape) for mask in found] == [(2, 50, 192), (2, 50, 6), (2, 50, 5)]
    for index, (mask, p) in enumerate(zip(found, (0.25, 0.5, 0.5), strict=True)):
        for row, seed in zip(mask, (9, 2), strict=True):
            drawn = generator(seed, f"dropout {index}", 7).random(row.shape, dtype=np.float32)
            np.testing.assert_allclose(row, np.where(drawn < p, 0, 1 / (1 - p)), rtol=1e-6)
    people.steps = 8
    assert not torch.equal(masks(people, slice(1, 3))[0], found[0])


@pytest.mark.parametrize("rule", ["bp", "fa", "dfa"])
def test_training_drops_and_measuring_does_not(make_config, batches, rule):
    """A step's update is that of autograd with the step's factors, as far as BP goes; the output
    without them is that of all units."""
    config = make_config(learning_rule=rule, init_of_B="transported", model__activation="tanh",
                         optimizer__lr=1.0, seed=[3, 1], **DROPOUT)  # fmt: skip
    people = build(config)
    x, y = next(batches(people))
    W = [w.clone().requires_grad_() for w in people.matrices("W")]
    people.steps = 1  # as in the first step
    first, second, third = people.part(slice(0, 2)).forward(x, training=True).masks
    people.steps = 0
    h1 = torch.tanh((x * first) @ W[0]) * second
    a = (torch.tanh(h1 @ W[1]) * third) @ W[2]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(a, y, reduction="none")
    whole = torch.tanh(torch.tanh(x @ W[0]) @ W[1]) @ W[2]
    torch.testing.assert_close(people.outputs(x), whole.detach())
    torch.testing.assert_close(people.step(x, y), a.detach())
    if rule == "dfa":  # its transported feedback leaves out the slopes in between
        return
    (loss.sum() / len(x[0])).backward()
    for now, start in zip(people.matrices("W"), W, strict=True):
        torch.testing.assert_close(now, (start - start.grad).detach(), rtol=1e-4, atol=1e-6)


def test_with_dropout_a_row_is_the_run_alone(make_config, batches):
    config = make_config(optimizer="adam", seed=[3, 1], **DROPOUT)
    both = build(config)
    steps = [(x.clone(), y) for x, y in batches(both)]
    trained(both, steps)
    for r, seed in enumerate(config.seeds):
        alone = build(config, [Row(seed, config.scalars())])
        trained(alone, [(x[r : r + 1], y[r : r + 1]) for x, y in steps])
        assert_equal(tensors(alone), both.snapshot(slice(r, r + 1)))


@pytest.mark.parametrize("rule", ["bp", "dfa"])
def test_adversarial_steps_train_on_inputs_moved_along_their_errors_sign(
    make_config, batches, rule
):
    settings = {"learning_rule": rule, "model__hidden": [6], "optimizer__lr": 0.5}
    people = build(make_config(trainer__adversarial=0.1, **settings))
    x, y = next(batches(people))
    if rule == "bp":  # the loss's own gradient
        moved = x.clone().requires_grad_()
        output = torch.relu(moved @ people.matrices("W")[0]) @ people.matrices("W")[1]
        loss = people.task.objective.value(output, y)
        error = torch.autograd.grad(loss.sum(), moved)[0]
    else:
        a = x @ people.matrices("W")[0]
        e = people.task.objective.error(torch.relu(a) @ people.matrices("W")[1], y)
        error = ((e @ people.matrices("B")[0]) * (a > 0)) @ people.matrices("W")[0].mT
    plain = build(make_config(**settings))
    assert error.any()
    expected = plain.step(x + 0.1 * error.sign(), y)
    torch.testing.assert_close(people.step(x, y), expected)
    for name, tensor in tensors(people).items():
        torch.testing.assert_close(tensor, tensors(plain)[name])


# -- Numbers of a row ------------------------------------------------------------------------

NUMBERS = [
    ("weight_mirror", "learning_rule.feedback_rate", (0.1, 1.0)),
    ("weight_mirror", "learning_rule.feedback_decay", (0.0, 1.0)),
    ("fourier_features", "learning_rule.scale", (0.1, 0.5)),
    ("dfa", "init_of_B.scale", (0.5, 2.0)),
    ("bp", "model.weight_scale", (0.5, 2.0)),
    ("ntk", "model.weight_scale", (0.5, 2.0)),
]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("rule, key, values", NUMBERS, ids=str)
def test_rows_have_their_own_numbers_of_every_group(
    make_config, batches, monkeypatch, rule, key, values, together
):
    """One architecture; a row is the network of its own configuration alone."""
    settings = {"learning_rule": rule, "model__hidden": [6, 4], "seed": [3], "optimizer__lr": 0.1}
    configs = [make_config(**settings, **{key.replace(".", "__"): v}) for v in values]
    assert configs[0].architecture() == configs[1].architecture()
    assert configs[0].identity() != configs[1].identity()
    rows = [Row(3, config.scalars()) for config in configs]
    alone = [build(config) for config in configs]
    steps = [(x.clone(), y) for x, y in batches(alone[0])]
    monkeypatch.setattr(module, "computes_together", lambda *_: together)
    both = build(configs[0], rows)
    assert len(both._parts) == (1 if together else 2)
    trained(both, [(x, y.expand(2, -1, -1)) for x, y in steps])
    for r, people in enumerate(alone):
        trained(people, steps)
        for name, tensor in people.tensors.items():
            torch.testing.assert_close(both.tensors[name][[r]], tensor, rtol=1e-5, atol=1e-6)
    assert any(not torch.allclose(t[0], t[1], rtol=1e-2) for t in both.tensors.values())


@pytest.mark.parametrize("optimizer", registry.names("optimizer"))
@pytest.mark.parametrize("rule", ["dkp", "weight_mirror"])
def test_a_rules_own_rate_is_a_factor_on_the_learning_rate(make_config, batches, optimizer, rule):
    """Of whatever optimizer: at a tenth of the rate feedback moves a tenth as far in one step, but
    for weight decay beside the gradient."""
    moved, plain = [], {"optimizer__decoupled_weight_decay": 0.0} if optimizer == "adamw" else {}
    for rate in (1.0, 0.1):
        people = build(make_config(
            learning_rule=rule, optimizer=optimizer, learning_rule__feedback_rate=rate,
            optimizer__lr=1e-3, **plain,
        ))  # fmt: skip
        before = {name: people.tensors[name].double() for name in ("W0", "W1", "B0")}
        people.step(*next(batches(people)))
        moved.append({name: people.tensors[name].double() - b for name, b in before.items()})
    fast, slow = moved
    assert fast["B0"].abs().max() > 1e-7
    torch.testing.assert_close(slow["B0"], 0.1 * fast["B0"], rtol=0.02, atol=2e-7)
    for name in ("W0", "W1"):
        assert torch.equal(slow[name], fast[name])


def test_weight_decay_of_feedback_does_not_depend_on_its_rate(make_config):
    """W - B^T decays alike however fast B learns: on zero inputs and errors nothing else moves."""
    people = build(make_config(
        learning_rule="dkp", learning_rule__feedback_rate=0.01, model__activation="linear", k=1,
        optimizer__lr=0.1, trainer__weight_decay=0.5, task="classification",
        task__loss="squared_error",
    ))  # fmt: skip
    start = people.tensors["B0"].clone()
    people.step(torch.zeros(3, 8, 64), torch.zeros(3, 8, 10))
    torch.testing.assert_close(people.tensors["B0"], 0.95 * start)


def test_weight_decay_that_adam_takes_for_gradients_goes_by_the_rate_of_these(make_config):
    """As torch's, at 0.01 times the learning rate."""
    people = build(make_config(
        learning_rule="dkp", learning_rule__feedback_rate=0.01, model__activation="linear", k=1,
        optimizer="adam", optimizer__lr=0.1, optimizer__epsilon=1e-8, trainer__weight_decay=0.5,
        task="classification", task__loss="squared_error",
    ))  # fmt: skip
    B = people.tensors["B0"].clone().requires_grad_()
    of_torch = torch.optim.Adam([B], lr=0.001, eps=1e-8, weight_decay=0.5)
    for _ in range(3):
        people.step(torch.zeros(3, 8, 64), torch.zeros(3, 8, 10))
        B.grad = torch.zeros_like(B)
        of_torch.step()
    torch.testing.assert_close(people.tensors["B0"], B.detach())


@pytest.mark.parametrize("optimizer", ["adamw", "nadamw", "lion"])
def test_nor_does_decoupled_weight_decay(make_config, optimizer):
    people = build(make_config(
        learning_rule="dkp", learning_rule__feedback_rate=0.01, model__activation="linear", k=1,
        optimizer=optimizer, optimizer__lr=0.1, optimizer__decoupled_weight_decay=0.5,
        task="classification", task__loss="squared_error",
    ))  # fmt: skip
    start = people.tensors["B0"].clone()
    people.step(torch.zeros(3, 8, 64), torch.zeros(3, 8, 10))
    torch.testing.assert_close(people.tensors["B0"], 0.95 * start)


def test_fixed_feedback_is_drawn_again_and_not_saved(make_config):
    fixed = build(make_config(learning_rule="dfa", optimizer="adam"))
    learned = build(make_config(learning_rule="dkp", optimizer="adam"))
    assert "B0" not in fixed.snapshot(slice(None))
    assert {"B0", "B0 first_moment"} <= learned.snapshot(slice(None)).keys()
    assert fixed._parts[0].operand("B0") is fixed._parts[0].operand("B0")
