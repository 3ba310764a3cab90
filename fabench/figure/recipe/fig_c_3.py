"""Paths of two weights with beta = 0.5, 1, 5 and 100 on ReLU's derivative, by Adam.

Eyono 2020, figure C.3 (see ``fabench.figure.gradient_trajectories``): three runs, each on its own
loss surface, Adam at the rate 0.5. Its claim: the path is the same for every beta. No experiments:
the recipe trains its small networks itself.
"""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure.gradient_trajectories import adam, draw_trials

EXPERIMENTS = ()


def draw(frame: pd.DataFrame) -> Figure:
    """Three panels: w_1 and w_2 on contours of the loss."""
    return draw_trials(adam(0.5), (100.0, 5.0, 1.0, 0.5))
