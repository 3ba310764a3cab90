"""Velocity of two weights against beta on ReLU's derivative: SGD, Adam and Adagrad.

Eyono 2020, figure C.4 (see ``fabench.figure.gradient_trajectories``): velocity is a path's length
over its 100 epochs; mean and 95 % interval over ten runs, and each run. Its claims: with SGD a
larger beta is faster; with Adam and Adagrad beta makes no difference, but for beta = 0, where
nothing moves. The last panel has SGD's three means against the rate times beta: one curve, as where
one layer learns beta is a factor on its learning rate. No experiments: the recipe trains its small
networks itself.

Differences: the paper's rates are not known but for Adam's (0.5) and those of figures C.1 and C.2.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.gradient_trajectories import (
    Array,
    adagrad,
    adam,
    paths,
    sgd,
    starting,
    velocity,
)
from fabench.run.statistics import summarize

EXPERIMENTS = ()

BETAS = (0.0, 0.5, 1.0, 5.0, 100.0)
RUNS = 10
RATES = {0.1: style.SKY, 0.5: style.BLUE, 1.5: style.PURPLE}  # of SGD
METHODS = {f"SGD: {lr:g}": (sgd(lr), color) for lr, color in RATES.items()} | {
    "Adam: 0.5": (adam(0.5), style.GREEN),
    "Adagrad: 0.5": (adagrad(0.5), style.ORANGE),
}


def draw(frame: pd.DataFrame) -> Figure:
    """A panel for every optimizer, and SGD against its rate times beta."""
    seeds = starting(RUNS)
    with style.canvas(2, 3, height=2.4) as (figure, panels):
        *own, last = panels.flat
        for axes, (name, (optimizer, color)) in zip(own, METHODS.items(), strict=True):
            found = velocity(paths(optimizer, BETAS, seeds))
            _against_beta(axes, found, color)
            axes.set_title(name)
            if optimizer.lr in RATES and name.startswith("SGD"):
                means = [summarize(runs.tolist()).mean for runs in found[1:]]
                last.plot(optimizer.lr * np.array(BETAS[1:]), means, "o-", color=color,
                          markersize=3, label=name)  # fmt: skip
        style.log_axis(last, [lr * beta for lr in RATES for beta in BETAS[1:]])
        last.set_yscale("log")
        last.set_title("SGD, means")
        last.set_xlabel("learning rate times $\\beta$")
        last.legend()
        for axes in panels[:, 0]:
            axes.set_ylabel("velocity (distance an epoch)")
        return figure


def _against_beta(axes: Axes, found: Array, color: str) -> None:
    """Velocities [betas, runs]: each run's, and their mean."""
    places = range(len(BETAS))
    axes.plot(places, found, color="0.75", linewidth=0.5)
    points = [summarize(runs.tolist()) for runs in found]
    axes.errorbar(
        places, [p.mean for p in points], yerr=[p.half_width for p in points], fmt="o-",
        markersize=3, capsize=2, color=color,
    )  # fmt: skip
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set_ylim(-1e-4, 1)
    axes.set_xticks(places, [f"{beta:g}" for beta in BETAS])
    axes.set_xlabel("$\\beta$")
