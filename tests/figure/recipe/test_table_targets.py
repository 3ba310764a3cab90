"""The table of rules with targets, from a dataframe made by hand."""

import pandas as pd
import pytest

from fabench.figure.recipe import table_targets
from fabench.figure.recipe.table_targets import DTP


def run(rule, errors, dataset="mnist", **settings):
    """The metrics of an epoch of chance and a last one with these errors in %, by seed."""
    setting = {"learning_rule": rule, "dataset": dataset, "lr": 0.1, "update_alignment": 0.5}
    rows = [
        {"seed": seed, "epoch": epoch, "test_accuracy": 1 - e / 100, **setting, **settings}
        for seed, error in errors.items()
        for epoch, e in ((0, 90.0), (10, error))
    ]
    return pd.DataFrame(rows)


def test_errors_are_paired_with_bps_of_the_same_seed_and_dataset():
    frame = pd.concat(
        [
            run("bp", {0: 1.0, 1: 3.0, 2: 2.0}),
            run("fa", {2: 2.5, 0: 1.5, 1: 3.5}),  # 0.5 more with every seed, in another order
            run("bp", {0: 10.0, 1: 10.0, 2: 10.0}, "fashion_mnist"),
            run("fa", {0: 11.0, 1: 12.0, 2: 13.0}, "fashion_mnist"),
        ]
    )
    table = table_targets.tabulate(frame).set_index(["dataset", "learning_rule"])
    assert table.test_error_mean.tolist() == pytest.approx([2.0, 2.5, 10.0, 12.0])
    fa = table.loc["mnist", "fa"]
    assert [fa.difference_to_bp_ci95_low, fa.difference_to_bp_ci95_high] == pytest.approx([0.5] * 2)
    assert table.loc["fashion_mnist", "fa"].difference_to_bp_mean == pytest.approx(2.0)
    assert pd.isna(table.loc["mnist", "bp"].difference_to_bp_mean)
    assert table.loc["mnist", "bp"].published_M == 1.98
    assert table.loc["fashion_mnist", "bp"].published_M == 10.74


def test_variants_of_dtp_are_told_apart():
    variants = {("reconstruction", 1): DTP, ("reconstruction", 0): f"{DTP} (fixed)",
                ("difference", 1): f"{DTP} (DRL)", ("local_difference", 2): None,
                ("local_difference", 1): f"{DTP} (L-DRL)"}  # fmt: skip
    for (loss, steps), name in variants.items():
        frame = run(DTP, {0: 2.0, 1: 3.0}, inverse_loss=loss, feedback_steps=steps)
        [found] = table_targets.tabulate(frame).learning_rule
        assert found == (name or DTP)
