"""BP with Adadelta and SGD, NTK and the random features, k=1 and k=3 (thesis figure 2.1).

The learning rates of NTK and the features are those chosen at k=1: at k=3 there is nothing to
choose by.
"""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from fabench.dataset.mnist import Mnist
from fabench.figure import style
from fabench.figure.curves import band, parity_axes
from fabench.randomness import generator
from fabench.task.parity import Parity

EXPERIMENTS = ("fig_2_1", "fig_3_1")

METHODS = [
    ("bp", "adadelta", "BP, Adadelta", "-"),
    ("bp", "sgd", "BP, SGD", "--"),
    ("ntk", "adadelta", "NTK", "-"),
    ("relu_features", "adadelta", "ReLU features", "-"),
    ("gaussian_features", "adadelta", "Gaussian features", "-"),
    ("linear_features", "adadelta", "linear features", "-"),
]


def draw(frame: pd.DataFrame) -> Figure:
    """Test accuracy against epoch (k=1: from 0.85 on), and under each two examples."""
    images = Mnist(name="mnist").load(frame.attrs["data_dir"])
    with style.canvas(height=3.6, columns=2, grid=False) as (figure, _):
        grid = GridSpec(2, 4, figure, height_ratios=[4, 1])
        for panel, k in enumerate((1, 3)):
            axes = figure.add_subplot(grid[0, 2 * panel : 2 * panel + 2])
            for rule, optimizer, label, dash in METHODS:
                rows = frame[
                    (frame.learning_rule == rule) & (frame.optimizer == optimizer) & (frame.k == k)
                ]
                band(axes, rows, "test_accuracy", style.color(rule), label, dash)
            parity_axes(axes, k, int(frame.epoch.max()))
            axes.set_title(f"k={k}")
            table = Parity(name="parity", k=k).table(generator(0, "test", 0), 10_000)
            for sample in range(2):
                picture = figure.add_subplot(grid[1, 2 * panel + sample])
                pixels = [images.test_images[i].numpy() for i in table[sample]]
                total = sum(int(images.test_labels[i]) for i in table[sample])
                style.picture(picture, pixels, f"sum {total}: {'odd' if total % 2 else 'even'}")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        return figure
