"""The classification RBMs' table and figure, on hand-made metrics and on machines small enough to
enumerate.

Axes: I inputs, H hidden units, C classes.
"""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fabench.figure.data import dataframe
from fabench.figure.recipe import fig_rbm, table_rbm
from fabench.run.execute import execute
from fabench.run.store import RunFolder

OBJECTIVES = ("generative", "discriminative", "hybrid")


def run(objective, epochs, errors, hidden):
    """Metrics of a run in folder ``objective`` that ends at ``errors``, a seed each, in %."""
    return pd.DataFrame(
        {
            "folder": objective, "objective": objective, "seed": seed, "epoch": epoch,
            "hidden": hidden, "lr": 0.1, "batch_size": 10,
            "train_accuracy": 1 - error / 200 - (epochs - epoch) / 10,
            "test_accuracy": 1 - error / 100 - (epochs - epoch) / 10,
        }
        for epoch in range(epochs + 1)
        for seed, error in enumerate(errors)
    )  # fmt: skip


def test_the_table_has_each_runs_last_epoch_paired_with_the_discriminative_one(monkeypatch):
    frame = pd.concat(
        [
            run("hybrid", 3, [1.0, 2.0, 3.0], "700"),
            run("generative", 1, [6.0, 7.0, 8.0], "900"),
            run("discriminative", 2, [2.0, 2.5, 4.5], "500"),
        ]
    )
    table = table_rbm.tabulate(frame.sample(frac=1, random_state=0)).set_index("objective")
    assert table.index.tolist() == list(OBJECTIVES)
    assert table.published.tolist() == [3.39, 1.81, 1.28]
    assert table.hidden.tolist() == ["900", "500", "700"]
    assert table.epochs.tolist() == [1, 2, 3]
    assert table.test_error_mean.tolist() == pytest.approx([7, 3, 2])
    assert table.train_error_mean.tolist() == pytest.approx([3.5, 1.5, 1])
    difference = [-1, -0.5, -1.5]
    low, high = stats.t.interval(0.95, 2, np.mean(difference), stats.sem(difference))
    hybrid = table.loc["hybrid"]
    assert hybrid.difference_to_discriminative_mean == pytest.approx(-1)
    assert hybrid.difference_to_discriminative_ci95_low == pytest.approx(low)
    assert hybrid.difference_to_discriminative_ci95_high == pytest.approx(high)
    assert np.isnan(table.difference_to_discriminative_mean["discriminative"])


def small(rng):
    """A machine of 4 inputs, 3 hidden units and 2 classes."""
    shapes = ((4, 3), (3, 2), (4,), (3,))
    return fig_rbm.Machine(*(rng.normal(size=shape).astype(np.float32) for shape in shapes))


def test_samples_follow_the_distribution_of_their_class():
    """Against every state of inputs and hidden units."""
    rng = np.random.default_rng(0)
    m = small(rng)
    X, H = (np.array(list(itertools.product([0, 1], repeat=n))) for n in (4, 3))
    drawn = m.samples(np.full((2, 20_000, 4), 0.5), 20, rng)
    assert drawn.shape == (2, 20_000, 4)
    for k in range(2):
        minus_energy = X @ m.W @ H.T + (X @ m.v)[:, None] + H @ (m.c + m.U[:, k])
        p = np.exp(minus_energy).sum(1)
        np.testing.assert_allclose(drawn[k].mean(0), p @ X / p.sum(), atol=0.01)


def test_the_figure_has_samples_of_each_class_and_the_filters_of_each_objective(
    make_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(fig_rbm, "STEPS", 2)
    configs = [
        make_config(
            learning_rule="contrastive_divergence",
            learning_rule__objective=objective,
            task="classification",
            dataset__scaling="unit",
            model__activation="sigmoid",
            model__bias=True,
            model__hidden=[70],
            seed=[1, 0],
            output_dir=str(tmp_path),
        )
        for objective in reversed(OBJECTIVES)
    ]
    execute(configs, "a test")
    figure = fig_rbm.draw(dataframe(configs))
    _, *filters = figure.axes
    pictures = [axes.get_images()[0].get_array() for axes in figure.axes]
    assert {picture.shape for picture in pictures} == {(6 * 8, 10 * 8)}
    assert 0 <= pictures[0].min() <= pictures[0].max() <= 1
    assert [axes.get_xlabel() for axes in filters] == [f"{name}: filters" for name in OBJECTIVES]
    for config, picture in zip(reversed(configs), pictures[1:], strict=True):
        W = RunFolder(config).weights()["tensors"]["W0"][0].numpy()
        tile = picture[8:16, 16:24]  # the second of the third column
        np.testing.assert_allclose(tile.ravel(), W[:, 13] / np.abs(W[:, 13]).max(), rtol=1e-6)
