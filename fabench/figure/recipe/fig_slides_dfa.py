"""Direct feedback alignment as in the slides, 784-200-100-10: which settings refuse to train.

As ``fig_slides_fa``, with two layers of tanh, a weight decay of 1e-4, and FA beside DFA.
"""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure.sensitivity import sensitivity

EXPERIMENTS = ("fig_slides_dfa", "fig_slides_dfa_scale", "fig_slides_dfa_decay")
ON_REQUEST = True  # 450 network epochs and 3,000 short ones

RULES = {"bp": "BP", "fa": "FA", "dfa": "DFA"}
CENTRE = {"lr": 0.5, "weight_scale": 0.2, "weight_decay": 1e-4}


def draw(frame: pd.DataFrame) -> Figure:
    """Curves of 50 epochs, and the accuracy after 200 steps by learning rate, scale and decay."""
    return sensitivity(frame, RULES, CENTRE, chance=0.1)
