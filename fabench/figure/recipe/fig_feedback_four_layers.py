"""FA and BP in networks of three and four layers on MNIST: test error against epoch.

After T. Lillicrap, D. Cownden, D. Tweed, C. Akerman, "Random synaptic feedback weights support
error backpropagation for deep learning", 2016, of which lecture slides say that FA "equals or
beats" BP there. Sigmoid units, outputs too, and squared error; learning rates and, of FA, the scale
of B are those of conf/tuned, chosen on validation data for each rule and depth: BP's rate in a grid
of three, FA's two numbers by eight trials of Optuna.

Differences from the paper: 300 hidden units a layer instead of 1000, batches of 20 instead of
single examples, 12 epochs; uniform weights of torch's size, the paper's and its scale of B were
searched by hand and are not published.
"""

import json

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.curves import band, epoch_axis

EXPERIMENTS = ("fig_feedback_four_layers", "fig_feedback_four_layers_deep")
ON_REQUEST = True  # 144 network epochs of 3,000 steps each

RULES = {"bp": "BP", "fa": "FA"}


def draw(frame: pd.DataFrame) -> Figure:
    """A panel for each depth, a line for each rule: the mean over seeds, its interval, its end."""
    frame = frame.assign(error=100 * (1 - frame.test_accuracy))
    frame = frame[frame.epoch > 0]
    depths = list(frame.groupby("hidden", sort=False))
    with style.canvas(1, len(depths)) as (figure, [panels]):
        for axes, (hidden, rows) in zip(panels, depths, strict=True):
            for rule, name in RULES.items():
                own = rows[rows.learning_rule == rule]
                last = own.error[own.epoch == own.epoch.max()].mean()
                band(axes, own, "error", style.color(rule), f"{name}, {last:.2f} % at the end")
            widths = [784, *json.loads(str(hidden)), 10]
            axes.set_title(f"{len(widths)} layers of units, {'-'.join(map(str, widths))}")
            axes.set_ylabel("test error in %")
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
            epoch_axis(axes, frame.epoch.max())
            axes.legend()
        bottom = min(axes.get_ylim()[0] for axes in panels)
        top = max(axes.get_ylim()[1] for axes in panels)
        for axes in panels:
            axes.set_ylim(bottom, top)
        return figure
