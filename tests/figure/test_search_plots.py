"""Pictures of searches. Oracles: hand-made tables, NumPy's singular value decomposition."""

import numpy as np
import pandas as pd
import pytest

from fabench.figure import search_plots, style


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "learning_rule.b2": [0.1, 1.0, 0.5, 0.2], "split": "validation",
            "score_mean": [0.6, 0.5, 0.99, 0.8], "score_sd": 0.01, "diverged": [0, 0, 1, 0],
            "distance_to_bp": [0.9, 0.0, 0.5, 0.8],
        }
    )  # fmt: skip


def test_the_best_so_far_leaves_out_what_diverged(frame):
    with style.canvas() as (_, [[axes]]):
        search_plots.best_so_far(axes, frame)
    dots, best = axes.get_lines()
    assert best.get_xdata().tolist() == [1, 2, 3, 4]
    assert best.get_ydata().tolist() == [0.6, 0.6, 0.6, 0.8]
    np.testing.assert_array_equal(dots.get_ydata(), [0.6, 0.5, np.nan, 0.8])


def test_a_plane_is_that_of_the_largest_singular_values():
    X = np.random.default_rng(0).normal(size=(20, 4)) * [1, 5, 0.1, 3]
    U, s, _ = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(search_plots.plane(X)), np.abs((U * s)[:, :2]))


def test_an_overview_has_a_panel_for_what_there_is(frame, make_config):
    config = make_config(learning_rule="pblf")
    X = np.array([[0.0, 1], [1, 0], [0.5, 0.5], [0.2, 0.1]])
    first, plane, distance, colorbar = search_plots.overview(frame, config, X).axes
    assert first.get_ylabel() == colorbar.get_ylabel() == "validation accuracy"
    [dots] = plane.collections
    np.testing.assert_allclose(dots.get_array(), [0.6, 0.5, 0.8])
    assert "crosses" in plane.get_xlabel() and len(plane.get_lines()[0].get_xdata()) == 1
    assert distance.get_lines()[0].get_xdata().tolist() == [0.9, 0.0, 0.8]
    assert distance.get_xlabel() == "distance to BP"
    formulas = frame.rename(columns={"distance_to_bp": "angle_to_bp"})
    *_, angle, _ = search_plots.overview(formulas, config, X).axes
    assert angle.get_xlabel() == "angle to BP / °"
    without = frame.drop(columns="distance_to_bp")
    assert len(search_plots.overview(without, config, None).axes) == 1


def test_a_curve_of_one_number(frame, make_config):
    [axes] = search_plots.curve(frame, make_config(), n_last=2).axes
    assert axes.get_xlabel() == "learning_rule.b2 (dotted: diverged)"
    assert axes.get_lines()[0].get_ydata().tolist() == [0.6, 0.5, 0.8]
