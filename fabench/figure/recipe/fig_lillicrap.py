"""Feedback alignment on Lillicrap et al.'s linear problem, and its theory.

The network is y = x A W, its target x T, its error E = T - A W; A [I, H], W [H, O], the feedback
matrix B [O, H], the inputs' second moments S = x^T x / N [I, I]. With FA and a small learning rate
(dt for eta)

    dA/dt = S E B,   dW/dt = A^T S E                                 (1)
    W B + (W B)^T = A^T A + C                                        (2)

where C is constant: by (1) both sides have the derivative A^T S E B and its transpose. A step of
size eta adds eta^2 (S E B)^T S E B to the right side only, so the two sides part by O(eta).

With one unit a layer (A = w_0, W = w_1, B = b, S = T = 1) this is

    dw_0/dt = b e,   dw_1/dt = w_0 e,   e = 1 - w_0 w_1              (3)
    b w_1 - w_0^2 / 2 = const                                        (4)

The fixed points are the hyperbola e = 0. The Jacobian there, -(b, w_0)^T (w_1, w_0), has the
eigenvalue 0 along the hyperbola and

    lambda = -(b / w_0 + w_0^2)                                      (5)

across it: for b = 1 all points with w_0 > 0 or w_0 < -1 are stable, those between are not.

Reference: T. P. Lillicrap, D. Cownden, D. B. Tweed, C. J. Akerman, "Random feedback weights support
learning in deep neural networks", 2014, arXiv:1411.0247, figure 1 and supplementary proofs; the toy
after L. Zhang, T. Wang, M. Ren, "Feedback Alignment Algorithms" (slides).

Differences from the paper:
1. One learning rate for all rules; the paper chose each rule's by hand.
2. The angle is that of the mean cosine, not the mean angle; the mean error is the geometric one.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from fabench.dataset.base.drawn import Teacher
from fabench.figure import style
from fabench.figure.curves import band
from fabench.population.population import Population, Row
from fabench.run.config import Config
from fabench.run.store import RunFolder
from fabench.run.trainer import population_of

EXPERIMENTS = ("fig_lillicrap",)
FROM_RUNS = "settings"

RULES = {"bp": "BP", "fa": "FA", "shallow": "output layer only"}
RATES = {0.1: ":", 0.01: "--", 0.001: "-"}
SEED, TIME = 0, 2.0  # the time of 2,000 steps at the figure's learning rate
REACH = 3.0  # of the phase plane: both weights from -REACH to REACH
STARTS = [(0.0, 0.0), (-0.3, -2.6), (-0.5, 2.5), (-2.5, 2.0), (-2.5, -1.5), (-0.6, -2.7)]

Array = NDArray[np.floating[Any]]


def data(frame: pd.DataFrame) -> pd.DataFrame:
    """What is drawn of every epoch."""
    columns = ["learning_rule", "lr", "seed", "epoch", "test_nse", "gradient_alignment", "folder"]
    return frame[columns]


def draw(frame: pd.DataFrame) -> Figure:
    """Error and angle against examples, the phase plane of (3), the drift of (2)."""
    fa = frame[frame.learning_rule == "fa"]
    config = RunFolder.at(Path(fa.folder.iloc[0])).config
    seen = frame.assign(examples=frame.epoch * config.train_examples)
    with style.canvas(2, 2, height=2.6) as (figure, [[errors, angles], [plane, drifts]]):
        for rule, name in RULES.items():
            rows = seen[seen.learning_rule == rule]
            band(errors, rows, "test_nse", style.color(rule), name, x="examples", log=True)
        errors.set_yscale("log")
        errors.set_ylabel("normalized squared error")
        errors.legend(loc="lower left")
        degrees = np.degrees(np.arccos(fa.gradient_alignment))
        rows = seen.loc[fa.index].assign(degrees=degrees)
        band(angles, rows, "degrees", style.color("fa"), "FA", x="examples")
        angles.axhline(90, color="0.5", linewidth=0.8, linestyle="--", zorder=0)
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        angles.annotate(
            "90: no alignment", (1, 90), xytext=(0, 2), ha="right", fontsize=7, color="0.4", **place
        )
        angles.set_ylim(0, 100)
        angles.set_ylabel("angle of $eB$ and $eW^T$ (degrees)")
        for axes in (errors, angles):
            axes.set_xlabel("examples seen")
            axes.set_xlim(0, seen.examples.max())
            axes.set_title(f"batches of {config.trainer.batch_size}, $\\eta$={fa.lr.iloc[0]:g}")
        _phase_plane(plane)
        for rate, dash in RATES.items():
            time, deviation = drift(config, rate, TIME)
            drifts.plot(
                time[1:], deviation[1:], dash, color=style.color("fa"), label=f"$\\eta$={rate:g}"
            )
        drifts.set_yscale("log")
        drifts.set_ylim(1e-4, 1)
        drifts.set_xlim(0, TIME)
        drifts.set_xlabel("steps times $\\eta$")
        drifts.set_ylabel("relative drift of $WB+(WB)^T-A^TA$")
        drifts.set_title(f"one batch of {config.dataset.n_test:,}")
        drifts.legend(loc="lower right")
        return figure


# -- The toy ---------------------------------------------------------------------------------


def flow(w_0: Array, w_1: Array, b: float = 1.0) -> tuple[Array, Array]:
    """(3): the velocity of both weights."""
    e = 1 - w_0 * w_1
    return b * e, w_0 * e


def eigenvalue(w_0: Array, b: float = 1.0) -> Array:
    """(5): how fast a disturbance of the fixed point (w_0, 1 / w_0) grows; it decays below 0."""
    return -(b / w_0 + w_0**2)


def trajectory(start: tuple[float, float], time: float = 20.0) -> Array:
    """The weights [2, n] on their way from ``start``, in steps small enough to draw."""
    path = solve_ivp(lambda t, w: flow(*w), (0, time), start, rtol=1e-8, atol=1e-8, max_step=0.05)
    return np.asarray(path.y)


def _phase_plane(axes: Axes) -> None:
    grid = np.linspace(-REACH, REACH, 61)
    velocity = flow(*np.meshgrid(grid, grid))
    axes.streamplot(grid, grid, *velocity, color="0.8", linewidth=0.5, arrowsize=0.5, density=0.9)
    w_0 = np.linspace(-REACH, REACH, 1000)  # 0 is not among them
    stable = eigenvalue(w_0) < 0
    for points, dash, name in ((stable, "-", "stable"), (~stable, "--", "unstable")):
        w_1 = np.where(points, 1 / w_0, np.nan)
        axes.plot(w_0, w_1, dash, color=style.BLACK, label=f"$e=0$, {name}")
    axes.axvline(0, color="0.5", linewidth=0.8, linestyle=":", label="$\\dot w_1=0$")
    for start in STARTS:
        axes.plot(*trajectory(start), color=style.color("fa"))
        axes.plot(*start, "o", color=style.color("fa"), markersize=2.5)
    axes.set_xlim(-REACH, REACH)
    axes.set_ylim(-REACH, REACH)
    axes.set_xlabel("$w_0$")
    axes.set_ylabel("$w_1$")
    axes.set_title("one unit a layer, $B=1$", pad=16)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 0.99), ncols=3)


# -- The invariant ---------------------------------------------------------------------------


def drift(config: Config, lr: float, time: float) -> tuple[Array, Array]:
    """How far the two sides of (2) part while a network descends on one batch of n_test examples.

    Returns the times 0, lr, 2 lr, ... [n] and the Frobenius norm of the difference that has come
    up by then [n], over that of A^T A at the end.
    """
    assert isinstance(config.dataset, Teacher)
    drawn = config.dataset.draw(SEED, "validation", 0)
    x, y = (torch.from_numpy(part)[None] for part in drawn)
    row = Row(SEED, {**config.scalars(), "optimizer.lr": lr})
    people = population_of(config, [row], torch.device("cpu"))
    sides = [_sides(people)]
    for _ in range(round(time / lr)):
        people.step(people.operand(x), y)
        sides.append(_sides(people))
    left, right = map(np.stack, zip(*sides, strict=True))
    difference = left - right
    size = np.linalg.norm(difference - difference[0], axis=(1, 2))
    return lr * np.arange(len(size)), size / np.linalg.norm(right[-1])


def _sides(people: Population) -> tuple[Array, Array]:
    """W B + (W B)^T and A^T A of the first network, [H, H]."""
    A, W, B = (np.asarray(m[0], np.float64) for m in (*people.matrices("W"), *people.matrices("B")))
    return W @ B + (W @ B).T, A.T @ A
