"""The poster's table: measures of hand-made curves, by seed."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fabench.figure.recipe import table_lra


def run(rule, lr, scale, accuracies, losses=(3.0, 2.0, 1.0), dataset="mnist"):
    """Metrics of a network each seed: training losses of epochs 0, 1, ..., test accuracies in %
    after the last epoch, less before."""
    return pd.DataFrame(
        {
            "dataset": dataset, "learning_rule": rule, "lr": lr, "weight_scale": scale,
            "seed": seed, "epoch": epoch, "train_loss": loss,
            "test_accuracy": accuracy / 100 - (len(losses) - 1 - epoch) / 10,
            "train_accuracy": accuracy / 100 + 0.01 - (len(losses) - 1 - epoch) / 10,
        }
        for seed, accuracy in enumerate(accuracies)
        for epoch, loss in enumerate(losses)
    )  # fmt: skip


def of_rule(rule, rate, losses, **settings):
    """A rule's runs, tuned to ``rate``."""
    return [
        run(rule, rate, 1.0, [90, 92, 97], losses, **settings),
        run(rule, 3 * rate, 1.0, [88, 95, 95], losses, **settings),
        run(rule, rate / 3, 1.0, [86, 92, 98], losses, **settings),
        run(rule, rate, 0.1, [80, 91, 98], losses, **settings),
    ]


@pytest.fixture
def frame():
    even, uneven = (5.0, 4.0, 2.0, 1.0), (5.0, 1.0, 4.0, 2.0)
    parts = [
        *of_rule("bp", 0.1, even),
        *of_rule("local_representation_alignment", 0.3, uneven),
        *of_rule("bp", 0.1, even, dataset="fashion_mnist"),
        *of_rule("local_representation_alignment", 0.1, even, dataset="fashion_mnist"),
    ]
    return pd.concat(parts, ignore_index=True).sample(frac=1, random_state=0)


def test_measures_are_a_networks_own(frame):
    of = frame[(frame.dataset == "mnist") & (frame.learning_rule == table_lra.LRA)]
    found = {name: values.sort_index().tolist() for name, values in table_lra.measures(of).items()}
    second = np.diff(np.log([1, 4, 2]), 2)
    assert found == {
        "training accuracy": pytest.approx([91, 93, 98]),
        "test accuracy": pytest.approx([90, 92, 97]),
        "(a) epochs of rising loss": [1, 1, 1],
        "(a) roughness": pytest.approx([abs(second[0])] * 3),
        "(b) spread over rates": pytest.approx([4, 3, 3]),
        "(c) lost at weight_scale 0.1": pytest.approx([10, 1, -1]),
    }


def test_differences_are_lra_less_bp_paired_over_seeds(frame):
    lra = frame.learning_rule == table_lra.LRA
    frame.loc[lra & (frame.lr == 0.3) & (frame.seed == 2), "test_accuracy"] -= 0.03
    table = table_lra.tabulate(frame).set_index(["dataset", "measure"])
    accuracy = table.loc["mnist", "test accuracy"]
    difference = [0, 0, -3]
    low, high = stats.t.interval(0.95, 2, np.mean(difference), stats.sem(difference))
    assert accuracy.bp_mean == pytest.approx(93)
    assert accuracy.lra_mean == pytest.approx(92)
    assert accuracy.difference_mean == pytest.approx(-1)
    assert accuracy.difference_ci95_low == pytest.approx(low)
    assert accuracy.difference_ci95_high == pytest.approx(high)
    assert (accuracy.poster_bp, accuracy.poster_lra) == (97.49, 89.45)
    assert table.loc[("mnist", "(a) epochs of rising loss"), "difference_mean"] == 1
    fashion = table.loc["fashion_mnist"]
    assert fashion.difference_mean.tolist() == pytest.approx([0] * len(fashion))
    assert fashion.poster_lra["test accuracy"] == 82.39
