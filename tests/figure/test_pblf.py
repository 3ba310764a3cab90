"""PBLF's figures and tables. Oracles: hand-made frames, the paper's own numbers, SciPy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fabench.command import cli, figures
from fabench.figure import pblf
from fabench.figure.recipe import (
    fig_6_1,
    fig_6_2,
    fig_6_3,
    fig_6_4,
    table_6_2,
    table_b_1,
    table_pblf_residual,
)
from fabench.schema import UserError

PAPER = {  # table B.1: five trials after 20 epochs, 100 epochs
    "gaussian_process": ([92.78, 92.89, 92.94, 92.45, 92.78], [95.42, 95.38, 95.29, 95.17, 93.72]),
    "random": ([92.87, 92.74, 92.65, 92.71, 91.97], [95.22, 95.26, 95.55, 95.08, 95.27]),
    "bp": ([92.98, 92.76, 93.08, 92.83, 92.63], [95.38, 95.3, 95.48, 95.46, 95.73]),
}
WINNERS = {  # table 6.2: W_1, B_1, W_2, B_2, mode
    "gaussian_process": ([0.0002, 0.4306, 0, 0, 8], [0.0365, 0.5816, 0, 0.375, 2]),
    "random": ([0.824, 0.3945, 0.2906, 0.8482, 12], [0.2282, -0.765, 0.2304, 0.8942, 14]),
    "bp": ([None] * 5,) * 2,
}
CONVERGED = {"gaussian_process": 95.93, "random": 95.97, "bp": 96.23}


def trained(experiment, method, epochs, accuracies, numbers):
    """Metrics that climb to the accuracies (%) of five seeds."""
    settings = dict(zip((*pblf.NUMBERS, "mode"), numbers, strict=True))
    settings = {key: value for key, value in settings.items() if value is not None}
    return pd.DataFrame(
        {
            "experiment": experiment if method == "bp" else f"{experiment}_{method}",
            "learning_rule": "bp" if method == "bp" else "pblf",
            "dataset": "cifar10", "seed": seed, "epoch": epoch, "epochs": epochs,
            "test_accuracy": 0.1 + (last / 100 - 0.1) * epoch / epochs,
            "train_accuracy": 0.1 + 0.85 * epoch / epochs, **settings,
        }
        for seed, last in enumerate(accuracies)
        for epoch in range(0, epochs + 1, 10)
    )  # fmt: skip


@pytest.fixture(scope="module")
def frame():
    parts = []
    for method, (few, many) in PAPER.items():
        parts.append(trained("fig_6_1", method, 20, few, WINNERS[method][0]))
        parts.append(trained("fig_6_2", method, 100, many, WINNERS[method][1]))
        parts.append(trained("fig_6_2", method, 600, [CONVERGED[method]] * 5, WINNERS[method][1]))
    return pd.concat(parts, ignore_index=True)


def of(frame, recipe):
    return frame[frame.experiment.isin(recipe.EXPERIMENTS)]


@pytest.mark.parametrize(
    "recipe", [fig_6_1, fig_6_2, fig_6_3, fig_6_4, table_6_2, table_b_1, table_pblf_residual]
)
def test_experiments_come_in_threes(recipe):
    names = {"fig_6_1": fig_6_1, "fig_6_2": fig_6_2, "table_pblf_residual": table_pblf_residual}
    own = [n for n, r in names.items() if set(r.EXPERIMENTS) <= set(recipe.EXPERIMENTS)]
    methods = ("_gaussian_process", "_random", "")
    assert sorted(recipe.EXPERIMENTS) == sorted(n + m for n in own for m in methods)


def test_the_table_has_the_papers_numbers(frame):
    table = table_6_2.tabulate(frame).set_index(["epochs", "method"])
    assert len(table) == 9
    few = table.loc[20, "PBLF-RS"]
    assert (few.w1, few.b1, few.w2, few.b2, few["mode"]) == (0.824, 0.3945, 0.2906, 0.8482, "1100")
    assert few.test_accuracy_mean == pytest.approx(92.59, abs=0.005)
    assert table.loc[100, "PBLF-BO"].test_accuracy_sd ** 2 == pytest.approx(0.52, abs=0.005)
    test = stats.ttest_rel(PAPER["random"][0], PAPER["bp"][0]).confidence_interval()
    assert few.difference_to_bp_ci95_low == pytest.approx(test.low)
    assert few.difference_to_bp_ci95_high == pytest.approx(test.high)
    test = stats.ttest_rel(PAPER["gaussian_process"][1], PAPER["random"][1]).confidence_interval()
    many = table.loc[100, "PBLF-BO"]
    assert many.difference_to_random_ci95_low == pytest.approx(test.low)
    assert table.difference_to_random_mean.notna().tolist() == [True, False, False] * 3
    bp = table.loc[600, "BP"]
    assert bp.test_accuracy_mean == pytest.approx(96.23)
    assert pd.isna([bp["mode"], bp.w1, bp.difference_to_bp_mean]).all()


def test_the_table_of_the_residual_network_is_that_of_few_epochs(frame):
    few = of(frame, fig_6_1)
    residual = few.assign(experiment=few.experiment.str.replace("fig_6_1", "table_pblf_residual"))
    pd.testing.assert_frame_equal(table_pblf_residual.tabulate(residual), table_6_2.tabulate(few))


def test_every_trial_stands_in_table_b_1(frame):
    table = table_b_1.tabulate(frame).set_index(["epochs", "method"])
    trials = [f"seed_{seed}" for seed in range(5)]
    np.testing.assert_allclose(table.loc[(100, "PBLF-BO"), trials].tolist(),
                               PAPER["gaussian_process"][1])  # fmt: skip
    assert table.loc[(100, "BP"), "test_accuracy_mean"] == pytest.approx(95.47)


def test_curves_are_those_of_their_epochs(frame):
    for recipe, epochs in ((fig_6_1, 20), (fig_6_2, 100)):
        figure = recipe.draw(of(frame, recipe))
        *own, last = figure.axes
        assert [axes.get_title() for axes in own] == ["PBLF-BO", "PBLF-RS", "BP"]
        for axes, few_and_many in zip(own, PAPER.values(), strict=True):
            line = axes.get_lines()[0]
            assert line.get_xdata()[-1] == epochs
            assert line.get_ydata()[-1] == pytest.approx(np.mean(few_and_many[epochs == 100]) / 100)
        assert len(last.get_lines()) == 3
    [axes] = fig_6_4.draw(of(frame, fig_6_4)).axes
    assert [line.get_ydata()[-1] for line in axes.get_lines()] == pytest.approx(
        [accuracy / 100 for accuracy in CONVERGED.values()]
    )
    assert axes.get_lines()[0].get_xdata()[-1] == 600


def test_the_plane_has_all_points_and_backpropagation(frame, tmp_path):
    frame = of(frame, fig_6_3).copy()
    frame.attrs["output_dir"] = str(tmp_path)
    with pytest.raises(
        UserError, match=r"no table of cifar10: the head of conf/experiment/fig_6_1"
    ):
        fig_6_3.draw(frame)
    random = np.random.default_rng(0)
    for name in fig_6_3.EXPERIMENTS:
        folder = tmp_path / "tune" / name / "cifar10_classification_pblf_nesterov_uniform"
        folder.mkdir(parents=True)
        points = {f"learning_rule.{key}": random.uniform(-1, 1, 6) for key in pblf.NUMBERS}
        points |= {"learning_rule.mode": [1, 2, 2, 4, 8, 15]}
        scores = [0.9, 0.89, 0.885, 0.87, 0.5, 0.95]
        table = pd.DataFrame({**points, "score_mean": scores, "diverged": [0] * 5 + [1]})
        table.to_csv(folder / "tune.csv", index=False)
        assert fig_6_3.count(table.rename(columns={"learning_rule.mode": "mode"})).startswith(
            "3 of"
        )
    *panels, _ = fig_6_3.draw(frame).axes
    assert len(panels) == 4
    for axes, epochs in zip(panels, (20, 20, 100, 100), strict=True):
        dots, star = axes.collections
        [crosses] = axes.get_lines()
        assert [len(crosses.get_xdata()), len(dots.get_offsets()), len(star.get_offsets())] == [
            1, 5, 1,
        ]  # fmt: skip
        assert f"{epochs} epochs: 3 of 6 near the best, 2 modes" in axes.get_title()
        expected = np.mean(PAPER["bp"][epochs == 100]) / 100
        np.testing.assert_allclose(star.get_array(), expected)


def test_points_lie_as_the_search_sees_them():
    table = pd.DataFrame({"w1": [-1.0], "b1": [1.0], "w2": [0.0], "b2": [0.5], "mode": [6.0]})
    np.testing.assert_allclose(pblf.coordinates(table), [[0, 1, 0.5, 0.75, 0, 1, 1, 0]])


def test_the_large_scale_has_the_papers_numbers_and_network():
    for figure, place in (("fig_6_1", 0), ("fig_6_2", 1)):
        for method in ("gaussian_process", "random"):
            name = f"{figure}_{method}"
            config = figures.configs_of([name], ["scale=gpu"], cli.conf_dir())[0]
            rule = config.learning_rule
            found = [*(getattr(rule, key) for key in pblf.NUMBERS), rule.mode]
            assert found == WINNERS[method][place]
            assert (config.dataset.name, config.model.name) == ("cifar10", "wide_resnet")
            assert config.trainer.epochs == (20, 100)[place]
