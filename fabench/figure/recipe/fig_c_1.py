"""Paths of two weights with beta = 1 and 5 on ReLU's derivative, by SGD at the rate 0.5.

Eyono 2020, figure C.1 (see ``fabench.figure.gradient_trajectories``): three runs, each on its own
loss surface. Its claim: both take the same path, on which beta = 1 comes to a halt where beta = 5
goes on. No experiments: the recipe trains its small networks itself.
"""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure.gradient_trajectories import draw_trials, sgd

EXPERIMENTS = ()


def draw(frame: pd.DataFrame) -> Figure:
    """Three panels: w_1 and w_2 on contours of the loss."""
    return draw_trials(sgd(0.5), (5.0, 1.0))
