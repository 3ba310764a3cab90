"""table_backprop_evolution. Oracles: hand-made accuracies, SciPy, the configurations themselves."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fabench.command import cli, figures
from fabench.figure.recipe import table_backprop_evolution as recipe
from fabench.run.statistics import holm
from fabench.schema import UserError

OTHER = "g / fro(g)"
NOISE = np.array([-1.0, 0.0, 1.0])


def accuracies(of, split, seeds=(0, 1, 2), optimizer="sgd", epochs=4):
    """What ``data`` leaves of these accuracies in %, by formula and rate."""
    return [
        {"optimizer": optimizer, "epochs": epochs, "formula": formula, "lr": lr,
         "evaluate_on": split, "seed": seed, "test_accuracy": value / 100, "folder": "a"}
        for (formula, lr), values in of.items()
        for seed, value in zip(seeds, values, strict=True)
    ]  # fmt: skip


TUNED = {
    (recipe.BP, 0.1): 80 + NOISE, (recipe.BP, 1.0): 84 + NOISE, (recipe.BP, 3.0): [90, 91, np.nan],
    (OTHER, 0.1): 70 + NOISE, (OTHER, 1.0): 79 + NOISE, (OTHER, 3.0): 83 + NOISE,
}  # fmt: skip
TESTED = {
    (recipe.BP, 0.1): 60 + NOISE, (recipe.BP, 1.0): 81 + NOISE, (recipe.BP, 3.0): [99, 99, 99],
    (OTHER, 0.1): 60 + NOISE, (OTHER, 1.0): [70, np.nan, 74], (OTHER, 3.0): [82, 82, 83],
}  # fmt: skip


def test_each_has_its_own_rate_and_bps():
    frame = pd.DataFrame(accuracies(TUNED, "validation", (100, 101, 102)))
    frame = pd.concat([frame, pd.DataFrame(accuracies(TESTED, "test"))])
    bp, other = recipe.tabulate(frame).to_dict("records")
    assert (bp["formula"], bp["lr"], other["formula"], other["lr"]) == (recipe.BP, 1, OTHER, 3)
    assert bp["test_accuracy_mean"] == pytest.approx(81)
    assert np.isnan(bp["difference_to_bp_mean"]) and np.isnan(bp["difference_to_bp_p_holm"])
    differences = np.array([2.0, 1.0, 1.0])
    low, high = stats.t.interval(0.95, 2, differences.mean(), stats.sem(differences))
    assert other["difference_to_bp_mean"] == pytest.approx(4 / 3)
    assert other["difference_to_bp_ci95_low"] == pytest.approx(low)
    assert other["difference_to_bp_ci95_high"] == pytest.approx(high)
    p = stats.ttest_1samp(differences, 0).pvalue
    assert other["difference_to_bp_p_holm"] == pytest.approx(p)
    assert other["difference_at_bps_rate_mean"] == pytest.approx((-10 - 8) / 2)
    assert (bp["diverged_at_bps_rate"], other["diverged_at_bps_rate"]) == (0, 1)


def test_the_correction_is_for_the_whole_column():
    parts = []
    for epochs, gains in ((4, [2, 1, 1]), (12, [1, 1, 2.5])):
        tested = TESTED | {(OTHER, 3.0): 81 + NOISE + gains}
        parts += accuracies(TUNED, "validation", epochs=epochs)
        parts += accuracies(tested, "test", epochs=epochs)
    table = recipe.tabulate(pd.DataFrame(parts))
    p = [stats.ttest_1samp(gains, 0).pvalue for gains in ([2, 1, 1], [1, 1, 2.5])]
    found = table.difference_to_bp_p_holm[table.formula == OTHER]
    np.testing.assert_allclose(found, holm(p))


def test_the_smallest_rate_near_the_best_is_ones_own():
    accuracy = pd.DataFrame({0.1: 78 + NOISE, 0.3: 79.5 + NOISE, 1.0: 80 + NOISE})
    assert recipe.own_rate(accuracy) == 0.3  # the standard error is 0.58
    assert recipe.own_rate(accuracy[[0.1, 1.0]]) == 1.0


def test_a_network_that_has_diverged_ends_before_the_last_epoch():
    frame = pd.DataFrame(accuracies({(OTHER, 0.1): [70, 71, np.nan]}, "test"))
    frame = pd.concat([frame.assign(epoch=0, test_accuracy=0.1), frame.assign(epoch=1)])
    ends = recipe.data(frame)
    np.testing.assert_array_equal(ends.test_accuracy, [0.7, 0.71, np.nan])


def test_a_rate_without_a_test_is_said():
    tested = {key: values for key, values in TESTED.items() if key != (OTHER, 3.0)}
    frame = pd.DataFrame(accuracies(TUNED, "validation") + accuracies(tested, "test"))
    with pytest.raises(UserError, match=r"^g / fro\(g\) is not tested at the rate 3: "):
        recipe.tabulate(frame)


def composed(experiment, *given):
    return figures.configs_of([experiment], ["trainer.epochs=4", *given], cli.conf_dir())


@pytest.mark.parametrize("optimizer", ["", "_momentum"])
def test_rates_are_chosen_on_other_data_with_other_seeds(optimizer):
    own = composed(f"table_backprop_evolution{optimizer}")
    chosen = composed(f"table_backprop_evolution_rates{optimizer}")
    for configs, split in ((own, "test"), (chosen, "validation")):
        assert {c.trainer.evaluate_on for c in configs} == {split}
        assert {c.optimizer.name for c in configs} == {optimizer[1:] or "sgd"}
    formulas = [{c.learning_rule.formula for c in configs} for configs in (own, chosen)]
    assert formulas[0] == formulas[1] <= recipe.FORMULAS.keys()
    assert {c.optimizer.lr for c in own} <= {c.optimizer.lr for c in chosen}
    assert not set(own[0].seeds) & set(chosen[0].seeds)


def test_the_papers_scale_composes():
    given = ["scale=gpu", "learning_rule.formula=g", "optimizer.lr=0.05"]
    for experiment in recipe.EXPERIMENTS:
        configs = figures.configs_of([experiment], given, cli.conf_dir())
        assert [c.trainer.epochs for c in configs] == [20, 100]
        assert {(c.dataset.name, c.model.depth) for c in configs} == {("cifar10", 16)}
