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
from fabench.figure.recipe.fig_encoders import METHODS, until_solved

LAST = 20


def method(config):
    return getattr(config.learning_rule, "variant", config.learning_rule.name)


def test_every_method_has_the_same_problem_and_a_rate_of_its_own():
    every = [
        c for name in fig_encoders.EXPERIMENTS for c in figures._configs([name], [], cli.conf_dir())
    ]
    assert sorted(map(method, every)) == sorted(METHODS)
    assert len({str((c.dataset, c.task, c.model, c.trainer, c.seeds)) for c in every}) == 1
    assert all(c.optimizer.lr > 1 for c in every)  # what nothing sets is below
    assert {c.optimizer.lr for c in every if method(c) == "recirculation"} == {80}  # published


def networks(solved, lost=(), **setting):
    """One network a seed, right from epoch ``solved[seed]`` on (None: never); those of the seeds
    ``lost`` are wrong again at the end."""
    rows = []
    for seed, since in enumerate(solved):
        for epoch in range(LAST + 1):
            right = since is not None and epoch >= since and not (epoch == LAST and seed in lost)
            accuracy = 1.0 if right else 0.75
            rows.append({"seed": seed, "epoch": epoch, "test_accuracy": accuracy, **setting})
    return pd.DataFrame(rows)


def of(name):
    """The columns that tell a method."""
    if name in ("generec", "midpoint", "symmetric"):
        return {"learning_rule": "generec", "variant": name}
    return {"learning_rule": name}


def test_solved_is_the_first_time_by_seed():
    frame = networks([7, None, 3], lost=[0]).sample(frac=1, random_state=0)
    assert until_solved(frame).sort_index().tolist() == [7, np.inf, 3]
    diverged = frame.assign(test_accuracy=frame.test_accuracy.where(frame.seed != 2))
    assert until_solved(diverged)[2] == np.inf


def test_every_method_has_its_curve_rate_and_median():
    solved = {name: [5, 5, 6, 8] for name in METHODS}
    solved |= {"midpoint": [2, None, 9, 4], "symmetric": [None] * 4}
    frame = pd.concat(
        networks(epochs, lost=[0] * (name == "midpoint"), **of(name))
        for name, epochs in solved.items()
    )
    curves, rates = fig_encoders.draw(frame).axes
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
