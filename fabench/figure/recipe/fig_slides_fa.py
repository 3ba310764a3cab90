"""Feedback alignment as in the slides, 784-100-10: which settings refuse to train.

L. Zhang, T. Wang, M. Ren, "Feedback alignment algorithms" (slides), with their code's settings:
batches of 1000, learning rate 0.5, weights and feedback from a truncated normal distribution times
0.2, pixels in [0, 1]. Differences: their "decay" subtracts a constant from every weight, here it is
a weight decay; 50 epochs instead of 100.
"""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure.sensitivity import sensitivity

EXPERIMENTS = ("fig_slides_fa", "fig_slides_fa_scale", "fig_slides_fa_decay")
ON_REQUEST = True  # 300 network epochs and 3,000 short ones

RULES = {"bp": "BP", "fa": "FA"}
CENTRE = {"lr": 0.5, "weight_scale": 0.2, "weight_decay": 1e-5}


def draw(frame: pd.DataFrame) -> Figure:
    """Curves of 50 epochs, and the accuracy after 200 steps by learning rate, scale and decay."""
    return sensitivity(frame, RULES, CENTRE, chance=0.1)
