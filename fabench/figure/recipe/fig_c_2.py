"""Paths of two weights with beta = 1 and 0.5 on ReLU's derivative, by SGD at the rate 1.5.

Eyono 2020, figure C.2 (see ``fabench.figure.gradient_trajectories``): three runs, each on its own
loss surface. Its claim: both go in the same direction, beta = 0.5 more slowly. No experiments: the
recipe trains its small networks itself.
"""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure.gradient_trajectories import draw_trials, sgd

EXPERIMENTS = ()


def draw(frame: pd.DataFrame) -> Figure:
    """Three panels: w_1 and w_2 on contours of the loss."""
    return draw_trials(sgd(1.5), (1.0, 0.5))
