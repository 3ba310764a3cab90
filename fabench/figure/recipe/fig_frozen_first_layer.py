"""Error of BP, FA and DFA with two hidden layers, the first one frozen or trained (DFA paper).

A. Nøkland, "Direct feedback alignment provides learning in deep neural networks", 2016,
arXiv:1609.01596: what the first layer learns beyond random features. With it frozen, FA and DFA are
one rule. Differences: 240 units a layer instead of 800, 10 epochs, and every rule starts from
PyTorch's weights; the paper's FA and DFA start from zeros, of which a frozen layer makes nothing.
"""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from fabench.dataset.mnist import Mnist
from fabench.figure import style
from fabench.figure.curves import band, epoch_axis

EXPERIMENTS = ("fig_frozen_first_layer",)
ON_REQUEST = True  # 270 network epochs


def draw(frame: pd.DataFrame) -> Figure:
    """Training (dotted) and test error against epoch, geometric means; left with the first layer
    frozen. FA's lines are broad, so that DFA's on top of them hide nothing. No error is drawn as
    half of one training image."""
    least = 50 / Mnist.n_train
    for part in ("test", "train"):
        error = 100 * (1 - frame[f"{part}_accuracy"])
        frame = frame.assign(**{f"{part}_error": error.clip(lower=least)})
    titles = {"[1]": "first hidden layer frozen (FA is DFA)", "[]": "all layers trained"}
    with style.canvas(columns=2) as (figure, [panels]):
        panels[1].sharey(panels[0])
        for axes, (frozen, title) in zip(panels, titles.items(), strict=True):
            for rule in ("bp", "fa", "dfa"):
                width = (2.5 if rule == "fa" else 1) * style.LINE
                rows = frame[(frame.learning_rule == rule) & (frame.frozen_layers == frozen)]
                for part, dash in (("test", "-"), ("train", ":")):
                    name = f"{rule.upper()}, {part.replace('train', 'training')}"
                    color = style.color(rule)
                    band(axes, rows, f"{part}_error", color, name, dash, log=True, width=width)
            epoch_axis(axes, int(frame.epoch.max()))
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.set_ylabel("error in %")
            axes.set_title(title)
        panels[1].legend(loc="upper right", ncols=2)
        return figure
