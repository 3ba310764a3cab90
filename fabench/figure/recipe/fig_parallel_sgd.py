"""Simulated parallel SGD on MNIST: test error against steps, of 1, 4 and 16 workers.

A step is a batch of 32, whoever takes it: 16 workers have a sixteenth of them each. 784-100-10,
ReLU, backpropagation; an epoch is 10,000 images. A scheme has one learning rate for all of its
lines, chosen on validation data with other seeds (8 epochs, seeds 100 and 101, with Adagrad 100
alone) for 16 workers and, where they have a period, for 4 workers with period 16.

What the papers say: Hogwild's steps, late as they are, lead to where serial SGD does (Niu et al.
2011, on sparse problems); delay-tolerant steps are better than Adagrad's where delays are large
(1,000 steps, McMahan and Streeter 2014; here, with rates of their own, they have most of their lead
with one worker already, where both are the same); with a longer period Downpour becomes unstable,
EASGD stays stable, and EAMSGD is the fastest (Zhang et al. 2015, in time, which is not measured
here).

Differences from the papers: delays are 0 to 2p - 2 steps; one rate for all periods and numbers of
workers, not one for each; a small net and its first 3,130 steps.
"""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.curves import epoch_axis, strands

EXPERIMENTS = (
    "fig_parallel_sgd", "fig_parallel_sgd_downpour", "fig_parallel_sgd_easgd",
    "fig_parallel_sgd_eamsgd", "fig_parallel_sgd_adagrad", "fig_parallel_sgd_delay_tolerant",
)  # fmt: skip
INTERVAL = "thick: mean, thin: each network"
ON_REQUEST = True

PANELS = {
    "Hogwild": ("hogwild", "sgd", False),
    "Downpour": ("downpour", "sgd", False),
    "EASGD": ("elastic_averaging", "sgd", False),
    "Hogwild, Adagrad": ("hogwild", "adagrad", False),
    "delay-tolerant Adagrad": ("delay_tolerant", "adagrad", False),
    "EAMSGD": ("elastic_averaging", "sgd", True),
}
"""Scheme, optimizer, and whether workers have momentum, by title."""

COLORS = (style.BLACK, style.BLUE, style.RED)
DASHES = ("-", "--")


def draw(frame: pd.DataFrame) -> Figure:
    """A panel for each scheme, a line for each number of workers and period: the mean, and thin
    lines of every seed."""
    frame = frame.assign(
        error=100 * (1 - frame.test_accuracy),
        period=frame.period.fillna(1),
        momentum=frame.momentum.fillna(0),
    )
    frame = frame[frame.epoch > 0]
    workers, periods = sorted(frame.workers.unique()), sorted(frame.period.unique())
    with style.canvas(2, 3) as (figure, grid):
        for axes, (title, (scheme, optimizer, has_momentum)) in zip(
            grid.flat, PANELS.items(), strict=True
        ):
            chosen = (frame.parallel == scheme) & (frame.optimizer == optimizer)
            rows = frame[chosen & ((frame.momentum > 0) == has_momentum)]
            for p, color in zip(workers, COLORS, strict=False):
                for period, dash in zip(periods, DASHES, strict=False):
                    own = rows[(rows.workers == p) & (rows.period == period)]
                    if len(own):
                        label = f"p={p:g}, τ={period:g}"
                        strands(axes, own, "error", color, label, dash)
            axes.set_title(f"{title}, lr {rows.lr.iloc[0]:g}")
            axes.set_ylabel("test error in %")
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            epoch_axis(axes, frame.epoch.max())
            axes.yaxis.set_minor_formatter("")
            axes.set_ylim(2, 100)
        handles, labels = grid.flat[1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        return figure
