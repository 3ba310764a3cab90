"""Gradient noise in a network of twenty hidden layers, from poor and from good first weights.

A. Neelakantan, L. Vilnis, Q. V. Le, I. Sutskever, L. Kaiser, K. Kurach, J. Martens, "Adding
gradient noise improves learning for very deep networks", 2015, arXiv:1511.06807: noise of variance
eta / (1 + t)^0.55 alone lets plain gradient descent train a fully connected network of twenty
layers, even from a poor start. MNIST, 784-20x50-10, ReLU units, plain SGD; first weights N(0, 0.01)
(poor: a layer of fifty units halves what comes to it) and He's (good).
"""

from collections import Counter

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.data import endings

EXPERIMENTS = (
    "fig_gradient_noise",
    "fig_gradient_noise_large",
    "fig_gradient_noise_good",
    "fig_gradient_noise_good_large",
)
ON_REQUEST = True  # 432 network epochs
INTERVAL = "dots: networks, lines: means where none has diverged"

INITS = {"standard_gaussian": "poor first weights", "he_normal": "good first weights"}
COLORS = {0.0: style.BLACK, 0.01: style.SKY, 0.3: style.ORANGE}


def data(frame: pd.DataFrame) -> pd.DataFrame:
    """What each network ends with."""
    return endings(frame, "weight_init", "gradient_noise", "lr")


def draw(last: pd.DataFrame) -> Figure:
    """A panel for each way to begin: test accuracy after the last epoch against the rate, a dot
    for each network, how many have diverged, and a line through an eta's means where none has."""
    with style.canvas(columns=len(INITS)) as (figure, [panels]):
        for axes, (init, title) in zip(panels, INITS.items(), strict=True):
            told = Counter[float]()
            for eta, color in COLORS.items():
                rows = last[(last.weight_init == init) & (last.gradient_noise == eta)]
                axes.plot(rows.lr, rows.test_accuracy, "o", color=color, markersize=3, alpha=0.6)
                for lr, lost in rows.test_accuracy.isna().groupby(rows.lr):
                    if lost.any():
                        text = f"{lost.sum()} of {len(lost)}\ndiverge"
                        height = 0.14 + 0.16 * told[lr]  # one above another
                        axes.text(lr, height, text, color=color, ha="center", fontsize=7)
                        told[lr] += 1
                mean = rows.groupby("lr").test_accuracy.apply(
                    lambda of_rate: of_rate.mean(skipna=False)
                )
                axes.plot(mean, color=color, label=f"eta {eta:g}" if eta else "none")
            style.chance_line(axes, 0.1)
            style.log_axis(axes, last.lr.tolist())
            axes.set_ylim(0, 1)
            axes.margins(x=0.15)
            axes.set_xlabel("learning rate")
            axes.set_ylabel(f"test accuracy after {last.epoch.max()} epochs")
            axes.set_title(title)
        panels[0].legend(title="gradient noise", title_fontsize=7)
        return figure
