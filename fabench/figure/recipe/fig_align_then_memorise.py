"""DFA's alignment and training accuracy on MNIST with random labels (align, then memorise).

M. Refinetti, S. d'Ascoli, R. Ohana, S. Goldt, "Align, then memorise: the dynamics of learning with
feedback alignment", 2021, arXiv:2011.12428: 14 x 14 images, 64-64 hidden units without biases.
Differences: 10 passes through the training set instead of 1000; their code divides every row of B
by its norm, so that B is larger by the root of 3.
"""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from fabench.dataset.mnist import Mnist
from fabench.figure import style
from fabench.figure.curves import band

EXPERIMENTS = ("fig_align_then_memorise",)
ON_REQUEST = True  # 3,000 short network epochs

COLUMNS = {
    "weight_alignment": "cos(feedback, weights)",
    "gradient_alignment": "cos(signal, BP's signal)",
    "train_accuracy": "training accuracy",
}


def data(frame: pd.DataFrame) -> pd.DataFrame:
    """What is drawn, of a hundred epochs' many metrics."""
    setting = ["seed", "epoch", "activation", "p", "train_examples", "folder"]
    return frame.filter([*setting, *COLUMNS])


def draw(frame: pd.DataFrame) -> Figure:
    """Against the examples seen, logarithmic: a column per activation, a line per part p of random
    labels. Dotted: the training accuracy of a network that gives every image its true class, which
    is that of 1 - p and, by chance, of a tenth of the random labels."""
    frame = frame[frame.epoch > 0]
    seen = frame.epoch * frame.get("train_examples", Mnist.n_train)
    activations, parts = sorted(frame.activation.unique()), sorted(frame.p.unique())
    shades = colormaps["plasma"](np.linspace(0, 0.9, len(parts)))
    with style.canvas(len(COLUMNS), len(activations), height=2.0) as (figure, panels):
        for row, (column, title) in zip(panels, COLUMNS.items(), strict=True):
            for axes, activation in zip(row, activations, strict=True):
                for p, color in zip(parts, map(to_hex, shades), strict=True):
                    rows = frame.assign(epoch=seen)
                    rows = rows[(rows.activation == activation) & (rows.p == p)]
                    band(axes, rows, column, color, f"p={p:g}")
                    if column == "train_accuracy":
                        axes.axhline(1 - 0.9 * p, color=color, linewidth=0.8, linestyle=":")
                axes.set_xscale("log")
                axes.set_ylabel(title)
        for axes, activation in zip(panels[0], activations, strict=True):
            axes.set_title(activation)
        for axes in panels[-1]:
            axes.set_xlabel("training examples seen")
        lines = panels[0, 0].get_legend_handles_labels()
        figure.legend(*lines, loc="outside upper center", ncols=len(parts))
        return figure
