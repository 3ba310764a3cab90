"""fig_sparse_parity. Oracle: networks whose accuracies are made up, SciPy's Wilson interval."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from fabench.figure.recipe import fig_sparse_parity as recipe


def frame(solved):
    """Of twenty networks of each rule and n, the first ``solved`` are right on all; epochs 1, 2."""
    return pd.DataFrame(
        {
            "learning_rule": rule, "n": n, "k": 3, "lr": 0.1, "seed": seed, "epoch": epoch,
            "test_accuracy": 1.0 if epoch == 2 and seed < solved[n] else 0.5,
            "folder": f"{rule}{n}",
        }
        for rule in recipe.RULES for n in solved for seed in range(20) for epoch in (1, 2)
    )  # fmt: skip


def test_the_last_epoch_counts_and_fractions_have_wilsons_interval():
    networks = recipe.data(frame({10: 20, 40: 13}))
    assert len(networks) == 4 * 2 * 20
    fractions, accuracies = recipe.draw(networks).axes
    for shown in fractions.containers:
        line, _, [bars] = shown.lines
        assert line.get_ydata() == pytest.approx([1, 0.65])
        for segment, count in zip(bars.get_segments(), (20, 13), strict=True):
            low, high = binomtest(count, 20).proportion_ci(method="wilson")
            assert segment[:, 1] == pytest.approx([low, high])
    marks = [line for line in accuracies.lines if len(line.get_ydata()) == 20]
    assert len(marks) == 8
    assert sorted(np.mean(line.get_ydata()) for line in marks)[:4] == pytest.approx([0.825] * 4)
