"""Simulated parallel SGD, from a dataframe made by hand."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from fabench.figure import style
from fabench.figure.recipe import fig_parallel_sgd


def runs(parallel, optimizer, momentum, workers, period, error):
    """Metrics of three seeds that end at ``error`` and two either side of it."""
    for seed in (0, 1, 2):
        for epoch in (0, 1, 2):
            accuracy = 1 - (error + 2 * (seed - 1) + 10 * (2 - epoch)) / 100
            yield {
                "parallel": parallel, "optimizer": optimizer, "momentum": momentum, "seed": seed,
                "workers": workers, "period": period, "lr": 0.1, "epoch": epoch,
                "test_accuracy": accuracy,
            }  # fmt: skip


def test_a_panel_for_each_scheme_and_a_line_for_workers_and_period():
    rows, errors = [], {}
    for i, (title, (scheme, optimizer, has_momentum)) in enumerate(fig_parallel_sgd.PANELS.items()):
        local = scheme in ("downpour", "elastic_averaging")
        momentum = 0.9 * has_momentum if scheme == "elastic_averaging" else np.nan
        for workers in (1, 4, 16):
            for period in (1, 16) if local else (np.nan,):
                error = 5 + 3 * i + workers + (0.5 if period == 16 else 0)
                errors[title, workers, 1 if np.isnan(period) else period] = error
                rows += runs(scheme, optimizer, momentum, workers, period, error)
    figure = fig_parallel_sgd.draw(pd.DataFrame(rows))
    means = [[line for line in axes.lines if line.get_label()[0] != "_"] for axes in figure.axes]
    assert len(errors) == sum(map(len, means)) == 27
    for axes, own, title in zip(figure.axes, means, fig_parallel_sgd.PANELS, strict=True):
        assert axes.get_title() == f"{title}, lr 0.1"
        assert len(axes.lines) == (1 + 3) * len(own)  # and every seed's
        for line in own:
            p, period = (int(part.partition("=")[2]) for part in line.get_label().split(", "))
            assert line.get_xdata().tolist() == [1, 2]
            error = errors[title, p, period]
            assert line.get_ydata().tolist() == pytest.approx([error + 10, error])
            colors = {1: style.BLACK, 4: style.BLUE, 16: style.RED}
            assert to_hex(line.get_color()) == colors[p].lower()
            assert line.get_linestyle() == {1: "-", 16: "--"}[period]
    [legend] = figure.legends
    assert len(legend.get_texts()) == 6
