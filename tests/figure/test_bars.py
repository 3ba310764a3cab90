"""Bars and paired differences of last accuracies. Oracle: SciPy's paired interval."""

import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from fabench.figure.bars import differences, final_bars

DFA, BP = {2: 0.61, 0: 0.66, 1: 0.7}, {0: 0.7, 1: 0.78, 2: 0.72, 3: 0.9}


def metrics(of_seed):
    return pd.DataFrame(
        {"seed": seed, "epoch": epoch, "test_accuracy": 0.5 + (last - 0.5) * epoch}
        for seed, last in of_seed.items()
        for epoch in (0, 1)
    )


def test_differences_are_paired_by_seed_and_in_points():
    axes = Figure().subplots()
    differences(axes, [("sgd", metrics(DFA), metrics(BP))], "red")
    mean, *_, dots, zero = axes.lines
    [bars] = axes.containers[0].lines[2]
    expected = stats.ttest_rel([0.66, 0.7, 0.61], [0.7, 0.78, 0.72])
    low, high = expected.confidence_interval()
    assert mean.get_ydata() == pytest.approx([100 * (-0.04 - 0.08 - 0.11) / 3])
    assert sorted(dots.get_ydata()) == pytest.approx([-11, -8, -4])
    assert bars.get_segments()[0][:, 1] == pytest.approx([100 * low, 100 * high])
    assert zero.get_ydata() == [0, 0]


def test_bars_begin_at_chance():
    axes = Figure().subplots()
    final_bars(axes, [("sgd", metrics(DFA), "red")])
    assert axes.get_ylim()[0] == 0.5
    assert axes.patches[0].get_height() == pytest.approx(sum(DFA.values()) / 3)
