"""Batch normalisation on MNIST: BP and DFA with and without it, at a good rate and at ten times it.

S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal
covariate shift", 2015, arXiv:1502.03167, section 4.1, has this network (784-3x100-10, sigmoid
units) and BP, in batches of 60: normalised, it learns faster and ends higher; section 3.3: higher
rates become possible. Dashed: ten times the rate that is good without normalisation.
"""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.curves import epoch_axis, strands

EXPERIMENTS = ("fig_batch_normalisation",)
INTERVAL = "thick: mean, thin: each network"
ON_REQUEST = True  # 240 network epochs

RULES = {"bp": "BP", "dfa": "DFA"}
COLORS = {False: "0.4", True: style.BLUE}


def draw(frame: pd.DataFrame) -> Figure:
    """A panel for each rule: test error against epoch, a colour for each network, a dash for each
    rate; the mean over seeds, and thin lines of every seed: an interval would hide the others."""
    frame = frame.assign(error=100 * (1 - frame.test_accuracy))
    with style.canvas(columns=len(RULES), height=2.8) as (figure, [panels]):
        for axes, (rule, title) in zip(panels, RULES.items(), strict=True):
            for (normalised, lr), rows in frame[frame.learning_rule == rule].groupby(
                ["batch_norm", "lr"]
            ):
                dash = "--" if lr == frame.lr.max() else "-"
                name = f"{'normalised' if normalised else 'plain'}, rate {lr:g}"
                last = rows.error[rows.epoch == rows.epoch.max()].mean()
                color, label = COLORS[bool(normalised)], f"{name}: {last:.1f} %"
                strands(axes, rows, "error", color, label, dash)
            axes.set_title(title)
            axes.set_ylabel("test error in %")
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
            epoch_axis(axes, int(frame.epoch.max()))
            below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.25), "ncols": 2}
            axes.legend(title="mean at the end", title_fontsize=7, **below)
        return figure
