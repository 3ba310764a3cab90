"""Angle between the updates of rules that settle and backpropagation's gradient.

784-128-128-10 with logistic units on MNIST; linear outputs and the squared error, for which all
three rules' limits are gradients of the loss itself. Measured before any step (epoch 0), so on the
same weights for all, on 128 training images: update_alignment, here as an angle, whose gradient is
that of the feedforward network.

In theory CHL's update tends to that gradient as its feedback gain goes to 0 (X. Xie, H. S. Seung,
2003), EP's as its nudge does to the gradient of the settled network's loss (B. Scellier, Y. Bengio,
2017), nudged both ways with an error of second order (A. Laborieux et al., 2021), and GeneRec with
symmetric weights approximates recurrent backpropagation (R. C. O'Reilly, 1996). So it is: CHL comes
to 0.2 degrees, where fp32 ends its way, and the smaller the gain, the more steps it takes; EP's
limit and GeneRec keep an angle that grows with the weights, as then the settled network is not the
feedforward one. What a larger nudge does is shown as the change of that angle, which is no more
than the angle between EP's two updates.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.curves import means

EXPERIMENTS = (
    "fig_equilibrium_propagation",
    "fig_equilibrium_hebbian",
    "fig_equilibrium_generec",
    "fig_equilibrium_weights",
)
ON_REQUEST = True  # 73 settings, each measured once

EP, CHL, GENEREC = "equilibrium_propagation", "contrastive_hebbian", "generec"
NAMES = {EP: "EP", CHL: "CHL", GENEREC: "GeneRec"}
NUDGING = {"symmetric": ("nudged both ways", "-"), "random": ("nudged one way", "--")}
VARIANTS = {"generec": "-", "midpoint": "--", "symmetric": ":"}
STEPS = {5: ":", 10: "--", 30: "-"}  # of settling: those that CHL's gain is shown for
GAINS = {1.0: ":", 0.1: "-", 0.01: "--"}  # of CHL: those that the steps are shown for
NUDGE = 0.1  # EP's beta there
VARIED = {
    "beta": "nudge $\\beta$",
    "gamma": "feedback gain $\\gamma$",
    "steps": "steps of settling",
    "weight_scale": "factor on the initial weights",
}
DEFAULTS = {"gamma": 0.1, "variant": "generec", "nudged_steps": 10}  # with every scale of weights


def draw(frame: pd.DataFrame) -> Figure:
    """Against EP's nudge (its change of the angle), CHL's feedback gain, the steps of settling and
    the scale of the initial weights."""
    start = frame[frame.epoch == 0]
    start = start.assign(angle=np.degrees(np.arccos(start.update_alignment.clip(-1, 1))))
    with style.canvas(2, 2, height=2.8) as (figure, panels):
        (nudges, gains), (steps, scales) = panels
        _nudges(nudges, start)
        _gains(gains, start)
        _steps(steps, start[start.weight_scale == 1])
        _scales(scales, start)
        for axes, varied in zip(panels.flat, VARIED, strict=True):
            style.log_axis(axes, start[varied].dropna().tolist())
            axes.set_xlabel(VARIED[varied])
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.set_ylabel("angle to BP's gradient (degrees)")
        smallest = f"$\\beta$={start.beta.min():g}"
        nudges.set_ylabel(f"change of that angle\nfrom {smallest} (degrees)")
        for axes in (nudges, scales):
            axes.legend(loc="upper left")
        gains.legend(loc="upper right")
        steps.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=2)
        return figure


def bias(ep: pd.DataFrame) -> pd.DataFrame:
    """EP's rows but for those of the smallest beta, and how much their angles, in degrees, differ
    from the one of the same seed that is nudged both ways by that."""
    smallest = ep.beta == ep.beta.min()
    limit = ep[smallest & (ep.nudging == "symmetric")].set_index("seed").angle
    return ep[~smallest].assign(bias=(ep.angle - ep.seed.map(limit)).abs())


def _nudges(axes: Axes, start: pd.DataFrame) -> None:
    rows = bias(start[start.nudged_steps == start.steps.max()])
    for nudging, (name, dash) in NUDGING.items():
        own = rows[rows.nudging == nudging]
        means(axes, own, "beta", "bias", style.color(EP), f"EP, {name}", dash)


def _gains(axes: Axes, start: pd.DataFrame) -> None:
    for n, dash in STEPS.items():
        rows = start[start.gamma.notna() & (start.weight_scale == 1) & (start.steps == n)]
        means(axes, rows, "gamma", "angle", style.color(CHL), f"CHL, {n} steps", dash)


def _steps(axes: Axes, start: pd.DataFrame) -> None:
    for nudging, (name, dash) in NUDGING.items():
        rows = start[(start.nudging == nudging) & (start.beta == NUDGE)]
        means(axes, rows, "steps", "angle", style.color(EP), f"EP, {name}", dash)
    for gain, dash in GAINS.items():
        label = f"CHL, $\\gamma$={gain:g}"
        means(axes, start[start.gamma == gain], "steps", "angle", style.color(CHL), label, dash)
    for variant, dash in VARIANTS.items():
        rows = start[start.variant == variant]
        label = "GeneRec" if variant == "generec" else f"GeneRec, {variant}"
        means(axes, rows, "steps", "angle", style.color(GENEREC), label, dash)


def _scales(axes: Axes, start: pd.DataFrame) -> None:
    rows = start[start.steps == start.steps.max()]
    for setting, value in DEFAULTS.items():
        rows = rows[rows[setting].fillna(value) == value]
    for rule, name in NAMES.items():
        own = rows[rows.learning_rule == rule]
        means(axes, own, "weight_scale", "angle", style.color(rule), name)
