"""Axes: R rows, B batch, I fan-in, O fan-out."""

import numpy as np
import pytest
import torch

from fabench.learning_rule.base.signal import SignalRule
from fabench.population import metrics
from fabench.population.examples import Examples
from fabench.population.metrics import (
    confusion,
    dead_units,
    evaluate,
    feedback_alignment,
    gradient_alignment,
    network_metrics,
    send,
    signal_norms,
    weight_alignment,
    weight_norms,
)
from fabench.population.population import Row
from fabench.run import registry
from fabench.run.trainer import population_of

CPU = torch.device("cpu")
SIGNAL = [
    name
    for name in registry.names("learning_rule")
    if issubclass(registry.find("learning_rule", name), SignalRule)
]


@pytest.fixture
def setup(make_config, make_images):
    """A population and its examples; its config's keywords."""

    def build(images=None, **settings):
        config = make_config(**settings)
        people = population_of(config, [Row(s, config.scalars()) for s in config.seeds], CPU)
        images = images or make_images()
        return people, Examples(images, config.task, config.seeds, CPU, people.operand)

    return build


def cosine(a, b):
    a, b = np.ravel(a), np.ravel(b)
    return a @ b / np.sqrt((a @ a) * (b @ b))


def in_numpy(tensors):
    return [t.double().numpy() for t in tensors]


def assert_named(actual, expected):
    assert list(actual) == list(expected)
    for name, values in expected.items():
        assert actual[name].shape == (3,)
        np.testing.assert_allclose(actual[name], values, rtol=1e-6, atol=1e-9, err_msg=name)


# -- Loss and accuracy -----------------------------------------------------------------------


def network(people, x):
    """A ReLU network's output without biases, in float64."""
    h = x.double().numpy()
    for W in in_numpy(people.matrices("W")[:-1]):
        h = np.maximum(h @ W, 0)
    return h @ people.matrices("W")[-1].double().numpy()


@pytest.mark.parametrize("split", ["train", "test"])
def test_loss_and_accuracy_are_means_over_examples(setup, split):
    people, examples = setup(model__hidden=[6, 4])
    epoch = examples.epoch(split, 1)
    x, y = next(examples.batches(epoch, len(epoch)))
    a, y = network(people, x)[..., 0], y.double().numpy()[..., 0]
    p = 1 / (1 + np.exp(-a))
    found = evaluate(people, examples, epoch).metrics("some")
    loss = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(1)
    assert_named(found, {"some_loss": loss, "some_accuracy": ((a > 0) == (y > 0.5)).mean(1)})
    assert len(set(found["some_loss"].tolist())) == 3


@pytest.mark.parametrize("k", [1, 2, 9])
def test_a_class_counts_among_the_largest_outputs(setup, k):
    people, examples = setup(task="classification", task__label_smoothing=0.1)
    epoch = examples.epoch("test", 1)
    x, y = next(examples.batches(epoch, len(epoch)))
    a, label = network(people, x), y.argmax(-1).numpy()
    own = np.take_along_axis(a, label[..., None], -1)
    among = ((a > own).sum(-1) < k).mean(1)
    found = evaluate(people, examples, epoch, k).metrics("test")
    np.testing.assert_allclose(found[f"test_top_{k}_accuracy"], among, rtol=1e-12)
    assert len(set(among)) > 1 or k == 9
    assert k > 1 or torch.equal(found["test_top_1_accuracy"], found["test_accuracy"])
    assert not evaluate(people, examples, epoch).metrics("test").keys() - {
        "test_loss", "test_accuracy",
    }  # fmt: skip
    people.matrices("W")[0][1] = torch.nan
    assert evaluate(people, examples, epoch, k).metrics("test")[f"test_top_{k}_accuracy"][1].isnan()


@pytest.mark.parametrize("elements", [1, 3 * 192 * 7, 3 * 192 * 12])
def test_the_score_does_not_depend_on_the_portions(setup, monkeypatch, elements):
    """24 examples at a time, then 1, 7 (the last portion is short) and 12."""
    people, examples = setup()
    epoch = examples.epoch("test", 1)
    whole = evaluate(people, examples, epoch).metrics("test")
    monkeypatch.setitem(metrics.BUFFER_ELEMENTS, "cpu", elements)
    sizes = []
    batches = examples.batches
    monkeypatch.setattr(examples, "batches", lambda e, n: sizes.append(n) or batches(e, n))
    parts = evaluate(people, examples, epoch).metrics("test")
    assert sizes == [max(1, elements // (3 * 192))]
    assert torch.equal(parts["test_accuracy"], whole["test_accuracy"])
    torch.testing.assert_close(parts["test_loss"], whole["test_loss"], rtol=1e-6, atol=0)


def test_a_diverged_run_has_no_accuracy(setup):
    people, examples = setup()
    epoch = examples.epoch("test", 1)
    whole = evaluate(people, examples, epoch).metrics("test")
    people.matrices("W")[0][1] = torch.nan
    found = evaluate(people, examples, epoch).metrics("test")
    for name, values in found.items():
        assert values[1].isnan()
        assert torch.equal(values[[0, 2]], whole[name][[0, 2]])


@pytest.mark.parametrize("task", ["parity", "classification", "random_labels"])
def test_confusion_counts_the_examples_of_a_class_by_the_answer(setup, task):
    """Its diagonal is what the accuracy counts; its rows are the classes' sizes."""
    people, examples = setup(task=task)
    epoch = examples.epoch("test", 1)
    x, y = next(examples.batches(epoch, len(epoch)))
    a, y = network(people, x), y.numpy()
    answers, own = (a[..., 0] > 0, y[..., 0]) if task == "parity" else (a.argmax(-1), y.argmax(-1))
    expected = np.zeros((3, *[max(2, y.shape[-1])] * 2))
    for row, example in np.ndindex(own.shape):
        expected[row, int(own[row, example]), int(answers[row, example])] += 1
    found = confusion(people, examples, epoch)
    np.testing.assert_array_equal(found, expected)
    assert (found != found.mT).any()
    accuracy = evaluate(people, examples, epoch).metrics("test")["test_accuracy"]
    shares = found.diagonal(dim1=1, dim2=2).sum(-1) / len(epoch)
    torch.testing.assert_close(shares.double(), accuracy, rtol=1e-6, atol=0)


def test_of_what_has_no_classes_there_is_no_confusion(setup, make_config):
    people, examples = setup()
    people.task = make_config(dataset="encoder", task="reconstruction").task
    assert confusion(people, examples, examples.epoch("test", 1)) is None


def test_evaluation_changes_nothing(setup):
    people, examples = setup(optimizer="adam")
    before = people.snapshot(slice(None))
    evaluate(people, examples, examples.epoch("test", 1))
    network_metrics(people, examples, examples.epoch("train", 1))
    for name, tensor in people.snapshot(slice(None)).items():
        assert torch.equal(tensor, before[name])


# -- Weight alignment ------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["fa", "dfa", "ifa"])
def test_weight_alignment_of_one_hidden_layer(setup, rule):
    people, _ = setup(learning_rule=rule)
    B, W = in_numpy([people.matrices("B")[0], people.matrices("W")[1]])
    assert_named(weight_alignment(people), {
        "weight_alignment": [cosine(B[r], W[r].T) for r in range(3)],
    })  # fmt: skip


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12])
def test_weight_alignment_is_that_of_small_and_large_feedback_too(setup, scale):
    people, _ = setup(learning_rule="fa", model__hidden=[6, 4])
    expected = weight_alignment(people)
    for b in people.matrices("B"):
        b *= scale
    found = weight_alignment(people)
    for layer in (1, 2):
        name = f"weight_alignment_{layer}"
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    for b in people.matrices("B"):
        b.zero_()
    assert all(cosines.isnan().all() for cosines in weight_alignment(people).values())


def test_weight_alignment_of_deep_dfa(setup):
    """Refinetti et al.: cos(W_{l+1}, B_l^T B_{l+1}), for the last layer cos(W_L, B_{L-1}^T)."""
    people, _ = setup(learning_rule="dfa", model__hidden=[6, 4, 3])
    (B1, B2, B3), (_, W2, W3, W4) = in_numpy(people.matrices("B")), in_numpy(people.matrices("W"))
    found = weight_alignment(people)
    pairs = [
        [(B1[r].T @ B2[r], W2[r]), (B2[r].T @ B3[r], W3[r]), (B3[r].T, W4[r])] for r in range(3)
    ]
    expected = {
        "weight_alignment": [
            cosine(np.concatenate([b.ravel() for b, _ in p]),
                   np.concatenate([w.ravel() for _, w in p])) for p in pairs
        ]
    }  # fmt: skip
    for layer in range(3):
        expected[f"weight_alignment_{layer + 1}"] = [cosine(*p[layer]) for p in pairs]
    assert_named(found, expected)


def test_weight_alignment_of_deep_fa(setup):
    people, _ = setup(learning_rule="fa", model__hidden=[6, 4])
    (B2, B3), (_, W2, W3) = in_numpy(people.matrices("B")), in_numpy(people.matrices("W"))
    whole = [cosine(np.append(B2[r].T, B3[r].T), np.append(W2[r], W3[r])) for r in range(3)]
    expected = {
        "weight_alignment": whole,
        "weight_alignment_1": [cosine(B2[r].T, W2[r]) for r in range(3)],
        "weight_alignment_2": [cosine(B3[r].T, W3[r]) for r in range(3)],
    }
    assert_named(weight_alignment(people), expected)


def test_weight_alignment_of_deep_ifa(setup):
    people, _ = setup(learning_rule="ifa", model__hidden=[6, 4])
    (B1,), (_, W2, W3) = in_numpy(people.matrices("B")), in_numpy(people.matrices("W"))
    expected = {"weight_alignment": [cosine(B1[r].T, W2[r] @ W3[r]) for r in range(3)]}
    assert_named(weight_alignment(people), expected)


def test_rules_without_feedback_have_no_weight_alignment(setup):
    for rule in ("bp", "ntk", "relu_features"):
        assert weight_alignment(setup(learning_rule=rule)[0]) == {}


def test_weight_alignment_of_signs_and_products(setup):
    """The effective feedback, not the matrices that it is made of."""
    people, _ = setup(learning_rule="frsf", model__hidden=[6])
    (B,), (_, W) = in_numpy(people.matrices("B")), in_numpy(people.matrices("W"))
    expected = [cosine(np.abs(B[r]) * np.sign(W[r].T), W[r].T) for r in range(3)]
    assert_named(weight_alignment(people), {"weight_alignment": expected})
    people, _ = setup(learning_rule="product_feedback", model__hidden=[6])
    (B, R), (_, W) = in_numpy(people.matrices("B")), in_numpy(people.matrices("W"))
    expected = [cosine(B[r] @ R[r], W[r].T) for r in range(3)]
    assert_named(weight_alignment(people), {"weight_alignment": expected})


# -- Gradient alignment ----------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [[6], [6, 4]], ids=str)
@pytest.mark.parametrize("rule", ["bp", "ntk", "fa"])
def test_exact_gradients_are_aligned(setup, rule, hidden):
    people, examples = setup(
        learning_rule=rule, init_of_B="transported", model__activation="tanh", model__hidden=hidden
    )
    found = gradient_alignment(send(people, examples, examples.epoch("train", 1)))
    assert len(found) == {1: 1, 2: 3}[len(hidden)]
    assert_named(found, {name: [1, 1, 1] for name in found})
    for b in people.matrices("B"):
        b *= -1
    if rule == "fa":
        found = gradient_alignment(send(people, examples, examples.epoch("train", 1)))
        last = list(found)[-1]
        np.testing.assert_allclose(found[last], [-1, -1, -1])


def sent_in_numpy(rule, e, y, W, B, slopes):
    """Of one example: what arrives at every hidden layer, and every layer's signal."""
    last = len(slopes) - 1
    arriving, deltas = [None] * len(slopes), [None] * len(slopes) + [e]
    for i in range(last + 1) if rule == "ifa" else range(last, -1, -1):
        arriving[i] = {
            "bp": lambda i: W[i + 1] @ deltas[i + 1],
            "fa": lambda i: deltas[i + 1] @ B[i],
            "dfa": lambda i: e @ B[i],
            "drtp": lambda i: -y @ B[i],
            "ifa": lambda i: e @ B[0] if i == 0 else deltas[i - 1] @ W[i],
            "product_feedback": lambda i: deltas[i + 1] @ B[2 * i] @ B[2 * i + 1],
        }[rule](i)
        deltas[i] = arriving[i] * slopes[i]
    return arriving, deltas


@pytest.mark.parametrize("hidden", [[6], [6, 4], [6, 5, 4]], ids=str)
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("rule", ["bp", "fa", "dfa", "drtp", "ifa", "product_feedback"])
def test_signals_are_compared_example_by_example(setup, rule, activation, hidden):
    """Three rows of different seeds, ten outputs, against a loop over rows and examples."""
    people, examples = setup(
        task="classification",
        task__loss="sigmoid_cross_entropy",
        learning_rule=rule,
        model__activation=activation,
        model__hidden=hidden,
    )
    epoch = examples.epoch("train", 1)
    x, y = next(examples.batches(epoch, len(epoch)))
    all_W, all_B = in_numpy(people.matrices("W")), in_numpy(people.matrices("B"))
    layers, sigmoid = range(len(hidden)), lambda a: 1 / (1 + np.exp(-a))
    after, before = np.full((2, 1 + len(hidden), 3, len(epoch)), np.nan)
    norms = np.zeros((1 + len(hidden), 3, len(epoch)))
    for r in range(3):
        W, B = [w[r] for w in all_W], [b[r] for b in all_B]
        for n in range(len(epoch)):
            h, slopes = x[r, n].double().numpy(), []
            for w in W[:-1]:
                a = h @ w
                h = np.maximum(a, 0) if activation == "relu" else sigmoid(a)
                slopes.append(1.0 * (a > 0) if activation == "relu" else h * (1 - h))
            target = y[r, n].double().numpy()
            e = sigmoid(h @ W[-1]) - target
            s, d = sent_in_numpy(rule, e, target, W, B, slopes)
            exact_s, exact_d = sent_in_numpy("bp", e, target, W, B, slopes)
            norms[:, r, n] = [np.sqrt((delta**2).sum()) for delta in d]
            for found, ours, exact in ((before, s, exact_s), (after, d[:-1], exact_d[:-1])):
                pairs = [
                    (np.concatenate(ours), np.concatenate(exact)),
                    *zip(ours, exact, strict=True),
                ]
                for i, (one, other) in enumerate(pairs):
                    if one.any() and other.any():
                        found[i, r, n] = cosine(one, other)
    probe = send(people, examples, epoch)
    for measure, cosines in ((gradient_alignment, after), (feedback_alignment, before)):
        means = np.nanmean(cosines, 2)
        expected = {measure.__name__: means[0]}
        if len(hidden) > 1:
            expected |= {f"{measure.__name__}_{i + 1}": means[i + 1] for i in layers}
        found = measure(probe)
        assert list(found) == list(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    expected = {f"signal_norm_{i + 1}": norm.mean(1) for i, norm in enumerate(norms)}
    found = signal_norms(probe)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("rule", SIGNAL)
def test_a_signal_is_what_arrives_times_the_slope(setup, rule):
    """Of every rule that sends some. No f' is zero here, so that this determines what arrives."""
    people, examples = setup(
        learning_rule=rule, model__hidden=[6, 5, 4], model__activation="sigmoid"
    )
    for _ in range(4):  # what predicts signals predicts none at first
        for x, y in examples.batches(examples.epoch("train", 1), 40):
            people.step(x, y)
    probe = send(people, examples, examples.epoch("train", 1))
    silent = 0 not in probe.deltas
    sloping = rule not in ("local_representation_alignment", "formula")  # the others pull one
    assert list(probe.deltas) == ([3] if silent else [0, 1, 2, 3])
    assert list(probe.arriving) == (list(probe.deltas)[:-1] if sloping else [])
    for layer, s in probe.arriving.items():
        h, gate = probe.passed.f[layer], probe.passed.gates[layer]
        slope = h * (1 - h) if gate is None else gate  # of sigmoids
        torch.testing.assert_close(s * slope, probe.deltas[layer])
    found = network_metrics(people, examples, examples.epoch("train", 1))
    assert ("gradient_alignment" in found) == (not silent)
    assert ("feedback_alignment" in found) == (not silent and sloping)
    assert [n for n in found if n.startswith("signal_norm")] == [
        f"signal_norm_{layer}" for layer in ([4] if silent else [1, 2, 3, 4])
    ]
    for values in found.values():
        assert values.isfinite().all() and not values.requires_grad and values.shape == (3,)


def half_dead(make_images):
    """Images all black or all white, in turn: with weights above zero every ReLU is dead on the
    black ones, of which k = 1 makes half of the examples."""
    images = make_images()
    images.train_images[::2], images.train_images[1::2] = 0, 255
    return images


def test_examples_without_active_units_are_left_out(setup, make_images):
    people, examples = setup(half_dead(make_images), learning_rule="dfa", k=1)
    people.matrices("W")[0].abs_()
    found = gradient_alignment(send(people, examples, examples.epoch("train", 1)))
    # on a white image all units are active: cos(e B, e W2^T) = cos(B, W2^T), whatever e's sign
    B, W = in_numpy([people.matrices("B")[0], people.matrices("W")[1]])
    assert_named(found, {"gradient_alignment": [cosine(B[r], W[r]) for r in range(3)]})
    people.matrices("W")[0][1] *= -1  # dead on the white ones, active on the black ones
    again = gradient_alignment(send(people, examples, examples.epoch("train", 1)))
    np.testing.assert_allclose(again["gradient_alignment"], found["gradient_alignment"])


def test_a_network_of_dead_units_has_no_alignment(setup):
    people, examples = setup(learning_rule="dfa")
    people.matrices("W")[0][1] = 0
    found = gradient_alignment(send(people, examples, examples.epoch("train", 1)))
    assert found["gradient_alignment"].isnan().tolist() == [False, True, False]


def test_gradient_alignment_looks_at_the_first_examples(setup, monkeypatch):
    people, examples = setup(learning_rule="dfa", model__activation="tanh")
    epoch = examples.epoch("train", 1)
    whole = gradient_alignment(send(people, examples, epoch))
    monkeypatch.setattr(metrics, "PROBE_EXAMPLES", 10)
    part = gradient_alignment(send(people, examples, epoch))
    monkeypatch.undo()
    first = gradient_alignment(send(people, examples, epoch.first(10)))
    assert_named(part, {"gradient_alignment": first["gradient_alignment"]})
    assert not torch.allclose(part["gradient_alignment"], whole["gradient_alignment"])


def test_features_are_sent_no_signals(setup):
    for rule in ("relu_features", "gaussian_features", "linear_features", "fourier_features"):
        people, examples = setup(learning_rule=rule, model__hidden=[6, 4])
        probe = send(people, examples, examples.epoch("train", 1))
        assert gradient_alignment(probe) == feedback_alignment(probe) == {}
        assert list(signal_norms(probe)) == ["signal_norm_3"]


def test_gradient_alignment_knows_targets_and_noise(setup):
    people, examples = setup(learning_rule="drtp", model__activation="linear")
    epoch = examples.epoch("train", 1)
    _, y = next(examples.batches(epoch, len(epoch)))
    B, W = in_numpy([people.matrices("B")[0], people.matrices("W")[1]])
    # class 1: signals -B and a negative number times W^T; class 0 has no signal
    assert y.any() and not y.all()
    expected = [cosine(B[r], W[r].T) for r in range(3)]
    assert_named(
        gradient_alignment(send(people, examples, epoch)), {"gradient_alignment": expected}
    )

    people, examples = setup(learning_rule="brsf", model__activation="linear")
    people.steps = 3
    M = people.part(slice(None)).noise("magnitudes 0", (1, 5)).double().numpy()
    (W,) = in_numpy([people.matrices("W")[1]])
    expected = [cosine(np.abs(M[r]) * np.sign(W[r].T), W[r].T) for r in range(3)]
    assert_named(
        gradient_alignment(send(people, examples, epoch)), {"gradient_alignment": expected}
    )


# -- Update alignment ------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["bp", "dfa", "fa", "ntk", "relu_features", "kolen_pollack"])
def test_update_alignment_is_the_cosine_of_the_update_and_the_gradient(setup, rule):
    """Oracle: what a step of plain descent does, and autograd."""
    settings = {"learning_rule": rule, "model__hidden": [6, 4], "model__activation": "tanh"}
    people, examples = setup(**settings, optimizer__lr=1.0)
    epoch = examples.epoch("train", 1)
    x, y = next(examples.batches(epoch, len(epoch)))
    before = {name: tensor.clone() for name, tensor in people.tensors.items()}
    found = network_metrics(people, examples, epoch)
    assert all(torch.equal(people.tensors[name], tensor) for name, tensor in before.items())

    W = [w.double().requires_grad_() for w in people.matrices("W")]
    h = x.double()
    for index, w in enumerate(W):
        a = h @ w
        gate = before.get(f"G{index}")
        h = torch.tanh(a) if gate is None else a * torch.sigmoid(h.detach() @ gate.double())
        h = torch.relu(a) if rule == "relu_features" else h
    loss = people.task.objective.value(a, y.double()).mean(1).sum()
    gradients = [g.numpy() for g in torch.autograd.grad(loss, W)]
    people.step(x, y)
    changes = [
        (before[f"W{index}"] - w).double().numpy() for index, w in enumerate(people.matrices("W"))
    ]
    learns = [index for index, change in enumerate(changes) if change.any()]
    assert learns == ([2] if rule == "relu_features" else [0, 1, 2])
    columns = [name for name in found if name.startswith("update_alignment_")]
    assert columns == ([f"update_alignment_{i + 1}" for i in learns] if len(learns) > 1 else [])
    for r in range(3):
        for index in learns if len(learns) > 1 else ():
            expected = cosine(changes[index][r], gradients[index][r])
            np.testing.assert_allclose(
                found[f"update_alignment_{index + 1}"][r], expected, atol=1e-4
            )
        whole = [np.concatenate([m[index][r].ravel() for index in learns])
                 for m in (changes, gradients)]  # fmt: skip
        np.testing.assert_allclose(found["update_alignment"][r], cosine(*whole), atol=1e-4)
    if rule == "bp":
        np.testing.assert_allclose(found["update_alignment"], 1, atol=1e-9)


def test_update_alignment_is_measured_on_the_examples_as_they_are(setup):
    """However they are perturbed in training."""
    settings = {"learning_rule": "bp", "model__hidden": [6, 4], "task": "classification"}
    people, examples = setup(**settings, trainer__adversarial=0.1)
    found = network_metrics(people, examples, examples.epoch("train", 1))
    np.testing.assert_allclose(found["update_alignment"], 1, atol=1e-9)


# -- Norms and dead units --------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [[], [6], [6, 4]], ids=str)
def test_weight_norms_are_those_of_every_layer(setup, hidden):
    people, _ = setup(model__hidden=hidden, model__bias=True)
    expected = {}
    for layer, W in enumerate(in_numpy(people.matrices("W")), 1):
        expected[f"weight_norm_{layer}"] = [np.sqrt(sum(w**2 for w in W[r].flat)) for r in range(3)]
    assert_named(weight_norms(people), expected)


def test_dead_units_are_silent_on_every_example(setup):
    people, examples = setup(model__hidden=[4, 5])
    epoch = examples.epoch("train", 1)
    for W in people.matrices("W")[:2]:
        W[:, 0] = W[:, 0].abs() + 1  # so that no unit of the second layer is dead by accident
    W1, W2 = people.matrices("W")[:2]
    W1[1, :, 2] = 0  # no input at all
    W2[1, :, 3] *= -W2[1, :, 3].sign()  # only negative weights, from units that are never negative
    W2[1, :, 4] *= -W2[1, :, 4].sign()
    x, _ = next(examples.batches(epoch, len(epoch)))
    for r in range(3):
        active = [set(), set()]
        for n in range(len(epoch)):
            h = x[r, n].double().numpy()
            for layer, W in enumerate(in_numpy([W1[r], W2[r]])):
                h = np.maximum(h @ W, 0)
                active[layer] |= set(np.flatnonzero(h))
        assert [len(a) for a in active] == ([3, 3] if r == 1 else [4, 5])
    expected = {
        "dead_units": [0, 3 / 9, 0],
        "dead_units_1": [0, 1 / 4, 0],
        "dead_units_2": [0, 2 / 5, 0],
    }
    assert_named(dead_units(send(people, examples, epoch)), expected)


def test_a_unit_that_is_active_once_is_not_dead(setup, make_images):
    people, examples = setup(half_dead(make_images), k=1)
    W = people.matrices("W")[0].abs_()
    epoch = examples.epoch("train", 1)
    white = (next(examples.batches(epoch, len(epoch)))[0] > 0).all(2)  # [R, B]
    assert len(set(white.sum(1).tolist())) == 1 and white.any() and not white.all()
    probe = send(people, examples, epoch)
    assert_named(dead_units(probe), {"dead_units": [0, 0, 0]})
    W[2, :, :3] = 0
    probe = send(people, examples, epoch)
    assert_named(dead_units(probe), {"dead_units": [0, 0, 3 / 5]})


@pytest.mark.parametrize(
    "settings, measured",
    [
        ({"model__activation": "tanh"}, False),
        ({"model__activation": "sigmoid"}, False),
        ({"model__activation": "linear"}, False),
        ({"learning_rule": "ntk"}, False),
        ({"learning_rule": "fourier_features"}, False),
        ({"learning_rule": "relu_features", "model__activation": "tanh"}, True),
        ({"model__hidden": []}, False),
    ],
    ids=str,
)
def test_only_relu_units_die(setup, settings, measured):
    people, examples = setup(**settings)
    people.matrices("W")[0].zero_()
    found = dead_units(send(people, examples, examples.epoch("train", 1)))
    assert_named(found, {"dead_units": [1, 1, 1]} if measured else {})


# -- All together ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hidden, columns",
    [
        ([], ["update_alignment", "weight_norm_1", "signal_norm_1"]),
        (
            [5],
            ["weight_alignment", "gradient_alignment", "feedback_alignment",
             "update_alignment", "update_alignment_1", "update_alignment_2",
             "weight_norm_1", "weight_norm_2", "signal_norm_1", "signal_norm_2", "dead_units"],
        ),
        (
            [6, 4],
            ["weight_alignment", "weight_alignment_1", "weight_alignment_2",
             "gradient_alignment", "gradient_alignment_1", "gradient_alignment_2",
             "feedback_alignment", "feedback_alignment_1", "feedback_alignment_2",
             "update_alignment", "update_alignment_1", "update_alignment_2", "update_alignment_3",
             "weight_norm_1", "weight_norm_2", "weight_norm_3",
             "signal_norm_1", "signal_norm_2", "signal_norm_3",
             "dead_units", "dead_units_1", "dead_units_2"],
        ),
    ],
    ids=["no hidden layer", "one hidden layer", "two hidden layers"],
)  # fmt: skip
def test_columns(setup, hidden, columns):
    people, examples = setup(learning_rule="dfa", model__hidden=hidden)
    assert list(network_metrics(people, examples, examples.epoch("train", 1))) == columns


@pytest.mark.parametrize("rule", ["dfa", "ifa", "brsf"])
def test_rows_never_mix(setup, rule):
    """Each row's values are those of its network alone, and outlive another row's NaNs."""
    people, examples = setup(learning_rule=rule, model__hidden=[6, 4], seed=[3, 0, 5])
    epoch = examples.epoch("train", 1)
    found = network_metrics(people, examples, epoch)
    for row, seed in enumerate([3, 0, 5]):
        alone, own = setup(learning_rule=rule, model__hidden=[6, 4], seed=[seed])
        for name, value in network_metrics(alone, own, own.epoch("train", 1)).items():
            torch.testing.assert_close(value, found[name][[row]], msg=name)
    for W in people.matrices("W"):
        W[1] = torch.nan
    for name, values in network_metrics(people, examples, epoch).items():
        torch.testing.assert_close(values[[0, 2]], found[name][[0, 2]], rtol=0, atol=0)
        assert name.startswith("dead_units") or values[1].isnan()


@pytest.mark.parametrize("rule", ["dfa", "brsf"])
@pytest.mark.parametrize("probed", [2, 64])
def test_rows_of_a_gpu_are_looked_at_a_few_at_a_time(setup, monkeypatch, rule, probed):
    """Three rows, two and one: what a CPU finds row by row."""
    settings = {"learning_rule": rule, "model__hidden": [6, 4], "seed": [3, 0, 5]}
    people, examples = setup(**settings)
    expected = network_metrics(people, examples, examples.epoch("train", 1))
    monkeypatch.setattr("fabench.population.population.computes_together", lambda *_: True)
    monkeypatch.setattr("fabench.population.population.PROBED", probed)
    together, own = setup(**settings)
    found = network_metrics(together, own, own.epoch("train", 1))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-5, atol=1e-7, msg=name)
