"""Curricula: the runs that each panel shows, and that the perceptron is one.

Oracles: hand-made errors; a perceptron in NumPy.
"""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from fabench.command import cli, figures
from fabench.figure.recipe import fig_curriculum
from fabench.figure.recipe.fig_curriculum import differences
from fabench.model.layer.initialization import WEIGHT_INITS
from fabench.randomness import generator
from fabench.run.execute import execute

FIRST = {"easy_first": -1, "none": 0, "hard_first": 2}


def frame():
    """The perceptron's errors are 20 + seed and, sorted, 1 less or 2 more (by margin 10 times as
    much, of centred inputs 100 times); on shapes 30 less the switch epoch, in random order 30."""
    toy = [
        {
            "dataset": "irrelevant_inputs", "folder": f"{by}{low}{order}", "low": low, "seed": seed,
            "epoch": epoch, "epochs": 1, "curriculum": order, "curriculum_by": by,
            "test_accuracy": 1 - (0.2 + 0.01 * seed + 1e-4 * sign * size * (1 - 101 * low))
            if epoch else 0.5,
        }
        for (by, size), low, (order, sign), seed, epoch in product(
            (("irrelevant", 1), ("margin", 10)), (0.0, -1.0), FIRST.items(), (0, 1), (0, 1)
        )
        if order != "none" or by == "margin"
    ]  # fmt: skip
    shapes = [
        {
            "dataset": "shapes", "folder": f"{basic}{order}", "basic": basic, "seed": seed,
            "epoch": epoch, "epochs": 32, "curriculum": order, "curriculum_by": "variety",
            "test_accuracy": 0.7 + 0.01 * (seed + (32 * basic if order != "none" else 0))
            if epoch else 0.3,
        }
        for basic, order, seed, epoch in product(
            (0.0, 0.25, 0.5), ("easy_first", "none"), (0, 1), (0, 32)
        )
    ]  # fmt: skip
    return pd.DataFrame(toy + shapes)


def points(axes):
    """Label -> y of every line with error bars, in the order of drawing."""
    return {
        c.get_label(): c.lines[0].get_ydata().tolist() for c in axes.containers if c.get_label()
    }


def test_differences_are_paired_by_seed_and_inputs():
    toy = frame().query("dataset == 'irrelevant_inputs' and epoch == 1")
    rows = differences(toy.assign(error=100 * (1 - toy.test_accuracy)))
    assert len(rows) == 16
    for row in rows.itertuples():
        size = (10 if row.curriculum_by == "margin" else 1) * (1 - 101 * row.low)
        assert row.difference == pytest.approx(0.01 * FIRST[row.curriculum] * size)


def test_both_panels_show_the_last_epoch():
    toy, shapes = fig_curriculum.draw(frame()).axes
    means = [container.lines[0].get_ydata()[0] for container in toy.containers]
    by_irrelevant = [-0.01, -1.02, 0.02, 2.04]  # easy and hard first, each of both kinds of inputs
    assert means == pytest.approx([*by_irrelevant, *(10 * y for y in by_irrelevant)])
    assert points(shapes) == {
        "basic ones first": pytest.approx([29.5, 21.5, 13.5]),
        "random order": pytest.approx([29.5, 29.5, 29.5]),
    }


def test_the_perceptron_learns_as_one(workdir, tmp_path):
    """Its updates are +x or -x where it is wrong, in units of the learning rate."""
    given = ["seed=[3]", f"output_dir={tmp_path}", "trainer.curriculum=hard_first",
             "trainer.curriculum_by=margin", "dataset.low=-1.0"]  # fmt: skip
    [config] = figures.configs_of(["fig_curriculum"], given, cli.conf_dir())
    [outcome] = execute([config], "a test")
    data = config.dataset
    x, y = data.draw(3, "train", 1)
    W = 1e4 * WEIGHT_INITS["lecun_normal"](generator(3, "weights 0"), 100, 1)[:, 0]
    assert 800 < W.std() < 1200
    for n in np.argsort(-data.difficulty("margin", 3, x)):
        W += 1000 * (float(y[n]) - (x[n] @ W > 0)) * x[n]
    test, labels = data.draw(3, "test", 1)
    accuracy = ((test @ W > 0) == labels).mean()
    assert outcome.folder.metrics().test_accuracy.iloc[-1] == pytest.approx(accuracy, abs=1e-3)
    assert accuracy > 0.7


def test_the_figure_is_made_in_smoke_mode(workdir, tmp_path, capsys):
    small = ["seed=[0,1]", "trainer.device=cpu", "trainer.epochs=2", "trainer.metrics_every=1"]
    args = [*small, "dataset.n_train=16", "dataset.n_test=16", "model.hidden=[]"]
    assert cli.main(["figures", "fig_curriculum", *args]) == 0, capsys.readouterr().err
    assert (tmp_path / "outputs/figures/fig_curriculum.json").exists()
