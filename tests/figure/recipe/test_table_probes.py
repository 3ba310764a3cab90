"""table_probes and fig_b_2. Oracles: pixels themselves, weights of the checkpoint, SciPy."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fabench.command import figures
from fabench.dataset.mnist import Mnist
from fabench.figure.data import dataframe
from fabench.figure.embedding import PROBES, probed
from fabench.figure.recipe import table_probes
from fabench.model.layer.initialization import WEIGHT_INITS
from fabench.randomness import generator
from fabench.run.execute import execute


def test_a_digit_is_represented_by_its_place_in_the_weights():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 5, 784)).astype(np.float32)
    W = rng.normal(size=(2352, 6)).astype(np.float32)
    h = table_probes.represent(x, W)
    alone = np.zeros((5, 2352), np.float32)
    alone[:, 784:1568] = x[1]  # the digit in the middle place, nothing beside it
    np.testing.assert_allclose(h[5:10], alone @ W, rtol=1e-4, atol=1e-4)


def test_networks_are_those_of_every_rule_and_seed_and_untrained_ones(make_config, tmp_path):
    given = {"seed": [1, 2, 0], "k": 3, "trainer__epochs": 1, "output_dir": str(tmp_path)}
    configs = [make_config(learning_rule=rule, **given) for rule in ("bp", "dfa")]
    outcomes = execute(configs, "a test")
    learned = [outcome.folder.checkpoint()["tensors"]["W0"] for outcome in outcomes]
    found = {(rule, seed): W for rule, seed, _, W in table_probes.networks(dataframe(configs))}
    assert len(found) == 9
    for rule, tensor in zip(("bp", "dfa"), learned, strict=True):
        for seed, W in zip((1, 2, 0), tensor, strict=True):
            np.testing.assert_array_equal(found[rule, seed], W)
    drawn = WEIGHT_INITS["torch_uniform"](generator(2, "weights 0"), *learned[0][0].shape)
    np.testing.assert_array_equal(found[table_probes.UNTRAINED, 2], drawn)


def test_the_table_is_made(make_config, tmp_path, monkeypatch):
    given = {"seed": [0, 1], "k": 3, "trainer__epochs": 1, "output_dir": str(tmp_path)}
    configs = [make_config(learning_rule=rule, **given) for rule in ("bp", "dfa")]
    outcomes = execute(configs, "a test")
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 4, 3 * 40)
    pixels = np.eye(64)[digits].reshape(3, 40, 64) + 0.1 * rng.normal(size=(3, 40, 64))
    monkeypatch.setattr(table_probes, "samples", lambda data_dir: (pixels, digits))
    frame = table_probes.data(dataframe(configs))
    assert len(frame) == 3 * 2 * 2 * 2 and set(frame.network) == {"untrained", "bp", "dfa"}
    figures.make("table_probes", table_probes, frame, configs[0], "a test")
    table = pd.read_csv(tmp_path / "tables" / "table_probes.csv")
    assert len(table) == 3 * 2 * 2 and (table.seeds == 2).all()
    runs = json.loads((tmp_path / "tables" / "table_probes.json").read_text())["runs"]
    assert sorted(runs) == sorted(outcome.folder.path.name for outcome in outcomes)


def test_samples_are_the_digits_that_their_labels_say(monkeypatch, make_images):
    images = make_images(n_test=4000)
    monkeypatch.setattr(Mnist, "load", lambda self, data_dir: images)
    x, digits = table_probes.samples(None)
    pixels = np.rint(x * images.pixel_std + images.pixel_mean).astype(np.uint8).reshape(7500, 64)
    by_pixels = {row.tobytes(): int(label) for row, label in zip(
        images.test_images.numpy().reshape(-1, 64), images.test_labels, strict=True)}  # fmt: skip
    assert [by_pixels[row.tobytes()] for row in pixels] == digits.tolist()


@pytest.mark.parametrize("probe", PROBES)
def test_probes_tell_order_from_noise(probe):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    assert probed(probe, np.eye(4)[labels] + 0.01, labels) == 1
    assert probed(probe, rng.normal(size=(200, 3)), labels) < 0.5


def test_the_linear_probe_does_not_see_what_only_neighbours_tell():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 2, (400, 2))
    h, labels = corners + 0.1 * rng.normal(size=(400, 2)), corners.sum(1) % 2
    assert probed(PROBES[0], h, labels) > 0.99
    assert probed("linear", h, labels) < 0.7


def test_what_training_adds_is_paired_over_seeds():
    accuracies = {"untrained": (0.8, 0.9, 0.85), "bp": (0.7, 0.75, 0.78), "dfa": (0.82, 0.9, 0.9)}
    frame = pd.DataFrame(
        (network, seed, question, "linear", accuracy + 0.01 * (question == "parity"))
        for question in ("digit", "parity")
        for network, of in accuracies.items()
        for seed, accuracy in enumerate(of)
    ).set_axis(["network", "seed", "question", "probe", "accuracy"], axis=1)
    table = table_probes.tabulate(frame).set_index(["question", "network"])
    bp = table.loc["parity", "bp"]
    assert bp.accuracy_mean == pytest.approx(100 * np.mean(accuracies["bp"]) + 1)
    more = 100 * np.subtract(accuracies["bp"], accuracies["untrained"])
    low, high = stats.t.interval(0.95, 2, more.mean(), stats.sem(more))
    assert (bp.more_than_untrained_ci95_low, bp.more_than_untrained_ci95_high) == pytest.approx(
        (low, high)
    )
    assert bp.p_holm == pytest.approx(min(1, 4 * stats.ttest_1samp(more, 0).pvalue))
    assert table.loc["digit", "untrained"][["more_than_untrained_mean", "p_holm"]].isna().all()
