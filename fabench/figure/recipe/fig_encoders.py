"""Updates until settling rules and backpropagation have solved two encoders and the exclusive or.

The encoders are 4-2-4 and 8-3-8, the exclusive or has a 2-2-1 network. An epoch is one batch of all
patterns, so epochs are updates. A network has solved the problem when it first gets every pattern
right (each output on its target's side of 1/2); it may unlearn it. Thirty networks of logistic
units, weights and biases U(±0.5), 200 updates of 4-2-4, 500 of the others; the median is of all,
infinite for those unsolved. Learning rates are from conf/tuned, by the mean accuracy over 500
updates of seeds from 100 on; recirculation's on 4-2-4 is the published one. Recirculation is for
autoencoders, so that it has no exclusive or.

Published, on 4-2-4: recirculation takes 48 updates on average, counted until its error is below 0.1
(G. E. Hinton, J. L. McClelland, 1988); GeneRec does not converge reliably (P. Csiba, I. Farkaš,
2015).

Differences: EP descends the squared error, the limit of the others is the cross-entropy.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.run.statistics import wilson

PROBLEMS = {
    ("encoder", 4): ("4-2-4", "fig_encoders"),
    ("encoder", 8): ("8-3-8", "fig_encoders_eight"),
    ("xor", 2): ("exclusive or", "fig_encoders_xor"),
}
"""Dataset and its n: how it is called, and its experiment."""

EXPERIMENTS = (
    *(
        name + end
        for _, name in PROBLEMS.values()
        for end in ("", "_generec", "_midpoint", "_symmetric")
    ),
    "fig_encoders_recirculation",
    "fig_encoders_eight_recirculation",
)
ON_REQUEST = True  # 600 small networks of 200 or 500 updates
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


def data(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each network: the update that solved its problem, whether it is solved at the
    end, and how many updates there were."""
    method = frame.variant.fillna(frame.learning_rule)
    right = frame.test_accuracy == 1
    solved = frame.assign(method=method, right=right, updates=frame.epoch.where(right))
    keys = ["dataset", "n", "method", "learning_rule", "lr", "folder", "seed"]
    networks = solved.sort_values("epoch").groupby(keys, sort=False)
    return networks.agg(
        updates=("updates", "min"), last=("epoch", "max"), solved_at_the_end=("right", "last")
    ).reset_index()


def draw(networks: pd.DataFrame) -> Figure:
    """A row for each problem: on the left the fraction of networks that have solved it after so
    many updates; on the right that of those that ever do (dot) and that have it solved at the end
    (circle), and the median of updates."""
    with style.canvas(rows=len(PROBLEMS), columns=2) as (figure, axes):
        for (key, (title, _)), (curves, rates) in zip(PROBLEMS.items(), axes, strict=True):
            _problem(networks[(networks.dataset == key[0]) & (networks.n == key[1])], curves, rates)
            curves.set_ylabel(f"{title}:\nfraction solved by then")
        lines = axes[0, 0].get_legend_handles_labels()
        figure.legend(*lines, loc="outside upper center", ncols=4)
        curves.set_xlabel("updates")
        rates.set_xlabel("fraction of networks")
        return figure


def _problem(networks: pd.DataFrame, curves: Axes, rates: Axes) -> None:
    """One problem's row of axes."""
    last = networks["last"].max()
    methods = {key: value for key, value in METHODS.items() if key in set(networks.method)}
    for place, (method, (name, dash)) in enumerate(methods.items()):
        own = networks[networks.method == method]
        color = style.color(own.learning_rule.iloc[0])
        updates = own.updates.fillna(np.inf)
        n, solved = len(updates), sorted(updates[updates < np.inf])
        climb = np.arange(len(solved) + 1) / n
        steps = [1, *solved, last], [*climb, climb[-1]]
        curves.step(*steps, dash, where="post", color=color, label=name)
        rates.plot(wilson(len(solved), n), [place] * 2, dash, color=color)
        rates.plot(climb[-1], place, "o", color=color, markersize=4)
        at_the_end = own.solved_at_the_end.mean()
        rates.plot(at_the_end, place, "o", color=color, markersize=7, fillstyle="none")
        rates.text(1.08, place, f"{updates.median():g}".replace("inf", "-"), va="center")
    style.log_axis(curves, [FIRST, last])
    curves.set_xlim(FIRST, last)
    curves.set_ylim(0, 1.03)
    rates.set_xlim(0, 1.03)
    rates.set_ylim(len(methods) - 0.5, -0.5)
    rates.set_yticks(range(len(methods)), [name for name, _ in methods.values()])
    rates.text(1.08, -0.5, "median", va="bottom")
