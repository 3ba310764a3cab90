"""Updates until rules that settle, and backpropagation, have solved the 4-2-4 encoder.

An epoch is one batch of the four patterns, so epochs are updates. A network has solved the problem
when it first gets every pattern right (each output on its target's side of 1/2); it may unlearn it.
Thirty networks of logistic units, weights and biases U(±0.5), 200 updates; the median is of all,
infinite for those unsolved. Learning rates are from conf/tuned, by the mean accuracy over 500
updates of seeds from 100 on, and recirculation's is the published one.

Published: recirculation takes 48 updates on average, counted until its error is below 0.1
(G. E. Hinton, J. L. McClelland, 1988); GeneRec does not converge reliably (P. Csiba, I. Farkaš,
2015).

Differences: EP descends the squared error, the limit of the others is the cross-entropy.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.run.statistics import wilson

EXPERIMENTS = (
    "fig_encoders",
    "fig_encoders_generec",
    "fig_encoders_midpoint",
    "fig_encoders_symmetric",
    "fig_encoders_recirculation",
)
ON_REQUEST = True  # 210 small networks of 200 updates
INTERVAL = "Wilson 95 % interval of the fraction of seeds"

METHODS = {
    "bp": ("BP", "-"),
    "contrastive_hebbian": ("CHL", "-"),
    "generec": ("GeneRec", "-"),
    "midpoint": ("GeneRec, midpoint", "--"),
    "symmetric": ("GeneRec, symmetric", ":"),
    "equilibrium_propagation": ("EP", "-"),
    "recirculation": ("recirculation", "-."),
}
"""A rule, or GeneRec's variant: its name and line."""

FIRST = 5  # update that is shown


def draw(frame: pd.DataFrame) -> Figure:
    """On the left the fraction of networks that have solved the problem after so many updates; on
    the right that of those that ever do (dot) and that have it solved at the end (circle), and the
    median of updates."""
    frame = frame.assign(method=frame.variant.fillna(frame.learning_rule))
    last = frame.epoch.max()
    with style.canvas(columns=2) as (figure, [[curves, rates]]):
        for place, (method, (name, dash)) in enumerate(METHODS.items()):
            rows = frame[frame.method == method]
            color = style.color(rows.learning_rule.iloc[0])
            updates = until_solved(rows)
            n, solved = len(updates), sorted(updates[updates < np.inf])
            climb = np.arange(len(solved) + 1) / n
            steps = [1, *solved, last], [*climb, climb[-1]]
            curves.step(*steps, dash, where="post", color=color, label=name)
            rates.plot(wilson(len(solved), n), [place] * 2, dash, color=color)
            rates.plot(climb[-1], place, "o", color=color, markersize=4)
            at_the_end = rows[rows.epoch == last].test_accuracy == 1
            rates.plot(at_the_end.mean(), place, "o", color=color, markersize=7, fillstyle="none")
            rates.text(1.08, place, f"{updates.median():g}".replace("inf", "-"), va="center")
        style.log_axis(curves, [FIRST, last])
        curves.set_xlim(FIRST, last)
        curves.set_ylim(0, 1.03)
        curves.set_xlabel("updates")
        curves.set_ylabel("fraction solved by then")
        rates.set_xlim(0, 1.03)
        rates.set_ylim(len(METHODS) - 0.5, -0.5)
        rates.set_yticks(range(len(METHODS)), [name for name, _ in METHODS.values()])
        rates.set_xlabel("fraction of networks")
        rates.text(1.08, -0.5, "median", va="bottom")
        return figure


def until_solved(rows: pd.DataFrame) -> pd.Series:
    """By seed, the first epoch in which every pattern is right; infinite if there is none."""
    solved = rows[rows.test_accuracy == 1].groupby("seed").epoch.min()
    return solved.reindex(rows.seed.unique()).fillna(np.inf)
