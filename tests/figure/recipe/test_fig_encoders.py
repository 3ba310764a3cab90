"""The encoder problem: what counts as solved, and what the figure shows of it.

Oracles: hand-made accuracies, SciPy.
"""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from fabench.command import cli, figures
from fabench.figure.recipe import fig_encoders
from fabench.figure.recipe.fig_encoders import METHODS, data

LAST = 20


def method(config):
    return getattr(config.learning_rule, "variant", config.learning_rule.name)


@pytest.mark.parametrize("n", [4, 8, 2])
def test_every_method_has_the_same_problem_and_a_rate_of_its_own(n):
    every = [
        c
        for name in fig_encoders.EXPERIMENTS
        for c in figures.configs_of([name], [], cli.conf_dir())
        if c.dataset.n == n
    ]
    # recirculation is for autoencoders
    assert sorted(map(method, every)) == sorted(
        set(METHODS) - ({"recirculation"} if n == 2 else set())
    )
    assert len({str((c.dataset, c.task, c.model, c.trainer, c.seeds)) for c in every}) == 1
    assert all(c.optimizer.lr > 1 for c in every)  # what nothing sets is below
    if n == 4:  # published
        assert {c.optimizer.lr for c in every if method(c) == "recirculation"} == {80}


def of(name):
    """The columns that tell a method."""
    if name in ("generec", "midpoint", "symmetric"):
        return {"learning_rule": "generec", "variant": name}
    return {"learning_rule": name, "variant": None}


def networks(solved, name, problem, lost=()):
    """One network a seed, right from epoch ``solved[seed]`` on (None: never); those of the seeds
    ``lost`` are wrong again at the end."""
    rows = []
    for seed, since in enumerate(solved):
        for epoch in range(LAST + 1):
            right = since is not None and epoch >= since and not (epoch == LAST and seed in lost)
            accuracy = 1.0 if right else 0.75
            rows.append({"seed": seed, "epoch": epoch, "test_accuracy": accuracy})
    dataset, n = problem
    return pd.DataFrame(rows).assign(dataset=dataset, n=n, lr=0.1, folder=name, **of(name))


def test_solved_is_the_first_time_by_seed():
    frame = networks([7, None, 3], "bp", ("xor", 2), lost=[0]).sample(frac=1, random_state=0)
    found = data(frame).set_index("seed").sort_index()
    np.testing.assert_array_equal(found.updates, [7, np.nan, 3])
    assert found.solved_at_the_end.tolist() == [False, False, True]
    assert found["last"].tolist() == [LAST] * 3
    diverged = frame.assign(test_accuracy=frame.test_accuracy.where(frame.seed != 2))
    assert np.isnan(data(diverged).set_index("seed").updates[2])


def test_every_problem_has_its_row_of_axes():
    frames = [
        networks([at] * 2, name, problem)
        for at, problem in enumerate(fig_encoders.PROBLEMS, start=2)
        for name in METHODS
        if (problem, name) != (("xor", 2), "recirculation")
    ]
    axes = fig_encoders.draw(data(pd.concat(frames))).axes
    for at, (curves, rates) in enumerate(zip(axes[::2], axes[1::2], strict=True), start=2):
        assert {line.get_xdata()[1] for line in curves.lines} == {at}
        assert {text.get_text() for text in rates.texts} == {str(at), "median"}
    assert [len(ax.lines) for ax in axes[::2]] == [7, 7, 6]


def test_every_method_has_its_curve_rate_and_median():
    solved = {name: [5, 5, 6, 8] for name in METHODS}
    solved |= {"midpoint": [2, None, 9, 4], "symmetric": [None] * 4}
    frame = pd.concat(
        networks(epochs, name, problem, lost=[0] * (name == "midpoint"))
        for problem in fig_encoders.PROBLEMS
        for name, epochs in solved.items()
    )
    curves, rates, *_ = fig_encoders.draw(data(frame)).axes
    lines = {line.get_label(): line.get_xydata().T.tolist() for line in curves.lines}
    assert list(lines) == [name for name, _ in METHODS.values()]
    assert lines["BP"] == [[1, 5, 5, 6, 8, LAST], [0, 0.25, 0.5, 0.75, 1, 1]]
    assert lines["GeneRec, midpoint"] == [[1, 2, 4, 9, LAST], [0, 0.25, 0.5, 0.75, 0.75]]
    assert lines["GeneRec, symmetric"] == [[1, LAST], [0, 0]]
    place = list(METHODS).index("midpoint")
    interval, ever, at_the_end = rates.lines[3 * place : 3 * place + 3]
    expected = binomtest(3, 4).proportion_ci(method="wilson")
    assert interval.get_xdata() == pytest.approx([expected.low, expected.high])
    assert ever.get_xydata().tolist() == [[0.75, place]]
    assert at_the_end.get_xydata().tolist() == [[0.5, place]]
    assert rates.get_yticklabels()[place].get_text() == "GeneRec, midpoint"
    texts = [text.get_text() for text in rates.texts]
    assert texts == ["5.5", "5.5", "5.5", "6.5", "-", "5.5", "5.5", "median"]


def test_the_figure_is_made_in_smoke_mode(workdir, tmp_path, capsys):
    args = ["debug=smoke", "seed=[0,1]", "trainer.device=cpu"]
    assert cli.main(["figures", "fig_encoders", *args]) == 0, capsys.readouterr().err
    caption = json.loads((tmp_path / "outputs/figures/fig_encoders.json").read_text())
    assert caption["interval"].startswith("Wilson")
