"""PBLF and backpropagation trained on to convergence: test accuracy against epoch.

Eyono 2020, figure 6.4 (see ``fabench.figure.pblf``): what was found for many epochs, for six times
as many there, where backpropagation reaches 96.23 %, PBLF-RS 95.97 %, PBLF-BO 95.93 %.
"""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import pblf, style
from fabench.figure.curves import epoch_axis

EXPERIMENTS = pblf.experiments("fig_6_2")
ON_REQUEST = True  # its numbers come from a search


def draw(frame: pd.DataFrame) -> Figure:
    """A line for each method."""
    frame = frame[frame.epochs == frame.epochs.max()]
    with style.canvas() as (figure, [[axes]]):
        for method, rows in pblf.by_method(frame).items():
            pblf.beside(axes, rows, method)
        epoch_axis(axes, int(frame.epoch.max()))
        axes.set_ylim(*pblf.ends(frame))
        axes.set_ylabel("test accuracy")
        axes.legend(loc="lower right")
        return figure
