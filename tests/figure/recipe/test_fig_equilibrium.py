"""The updates of settling rules beside backpropagation's gradient: which runs each panel shows.

Oracles: hand-made cosines, whose angles are known.
"""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from fabench.command import cli
from fabench.figure.recipe import fig_equilibrium
from fabench.figure.recipe.fig_equilibrium import CHL, EP, GENEREC, bias


def run(rule, degrees, **setting):
    """Two seeds, 1 degree apart, before training (epoch 0) and far away after it."""
    setting = {"weight_scale": 1.0, "steps": 30, **setting}
    return [
        {
            "learning_rule": rule, "seed": seed, "epoch": epoch, **setting,
            "update_alignment": -1 if epoch else np.cos(np.radians(degrees + seed)),
        }
        for seed, epoch in product((0, 1), (0, 1))
    ]  # fmt: skip


def frame():
    """EP is 10 β (one way) or 10 β² (both) from 5 degrees at 30 steps and above 20 at 5, CHL at
    10 γ, and above 30 at 5 steps, GeneRec at 4, 3 and 2; all are at 40 and more with weights twice
    as large."""
    rows = []
    for beta, nudging, steps in product((0.01, 0.1, 0.5), ("symmetric", "random"), (5, 30)):
        distance = 10 * (beta**2 if nudging == "symmetric" else beta) * (beta > 0.01)
        degrees = distance + (5 if steps == 30 else 20)
        rows += run(EP, degrees, beta=beta, nudging=nudging, steps=steps, nudged_steps=steps)
    for gamma, steps in product((0.01, 0.1, 1.0), (5, 10, 30)):
        rows += run(CHL, 10 * gamma + (30 if steps == 5 else 0), gamma=gamma, steps=steps)
    for degrees, variant in ((4, "generec"), (3, "midpoint"), (2, "symmetric")):
        rows += run(GENEREC, degrees, variant=variant)
    for scale in (1.0, 2.0):
        rows += run(EP, 20 * scale, beta=0.5, nudging="symmetric", nudged_steps=10,
                    weight_scale=scale)  # fmt: skip
    rows += run(CHL, 41, gamma=0.1, weight_scale=2.0)
    rows += run(GENEREC, 42, variant="generec", weight_scale=2.0)
    return pd.DataFrame(rows)


def drawn(axes):
    """Label -> {x: mean} of every line with error bars."""
    return {
        container.get_label(): {
            x: pytest.approx(y, abs=1e-3) for x, y in container.lines[0].get_xydata().tolist()
        }
        for container in axes.containers
    }


def test_every_panel_shows_its_runs_before_training():
    nudges, gains, steps, scales = map(drawn, fig_equilibrium.draw(frame()).axes)
    assert nudges == {
        "EP, nudged both ways": {0.1: 0.1, 0.5: 2.5},
        "EP, nudged one way": {0.1: 1, 0.5: 5},
    }
    assert gains == {
        "CHL, 5 steps": {0.01: 30.6, 0.1: 31.5, 1: 40.5},
        "CHL, 10 steps": {0.01: 0.6, 0.1: 1.5, 1: 10.5},
        "CHL, 30 steps": {0.01: 0.6, 0.1: 1.5, 1: 10.5},
    }
    assert steps == {
        "EP, nudged both ways": {5: 20.6, 30: 5.6},
        "EP, nudged one way": {5: 21.5, 30: 6.5},
        "CHL, $\\gamma$=1": {5: 40.5, 10: 10.5, 30: 10.5},
        "CHL, $\\gamma$=0.1": {5: 31.5, 10: 1.5, 30: 1.5},
        "CHL, $\\gamma$=0.01": {5: 30.6, 10: 0.6, 30: 0.6},
        "GeneRec": {30: 4.5},
        "GeneRec, midpoint": {30: 3.5},
        "GeneRec, symmetric": {30: 2.5},
    }
    assert scales == {
        "EP": {1: 20.5, 2: 40.5}, "CHL": {1: 1.5, 2: 41.5}, "GeneRec": {1: 4.5, 2: 42.5},
    }  # fmt: skip


def test_the_distance_from_the_limit_is_paired_by_seed():
    ep = pd.DataFrame(
        [
            {"beta": 0.01, "nudging": "symmetric", "seed": 0, "angle": 5.0},
            {"beta": 0.01, "nudging": "symmetric", "seed": 1, "angle": 7.0},
            {"beta": 0.01, "nudging": "random", "seed": 0, "angle": 90.0},
            {"beta": 0.5, "nudging": "random", "seed": 1, "angle": 4.0},
            {"beta": 0.5, "nudging": "symmetric", "seed": 0, "angle": 6.0},
        ]
    )
    assert bias(ep).bias.tolist() == [3, 1]


def test_the_figure_is_made_in_smoke_mode(workdir, tmp_path, capsys):
    small = ["dataset=digits", "model.hidden=[3]", "seed=[0,1]", "trainer.device=cpu"]
    args = [*small, "trainer.train_examples=16"]
    args += ["learning_rule.steps=30", "model.weight_scale=1"]
    assert cli.main(["figures", "fig_equilibrium", *args]) == 0, capsys.readouterr().err
    assert (tmp_path / "outputs/figures/fig_equilibrium.json").exists()
