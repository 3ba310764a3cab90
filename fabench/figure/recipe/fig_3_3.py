"""DFA with four random feedback matrices, each with its own learning rate (thesis figure 3.3)."""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.bars import final_bars
from fabench.figure.curves import band, epoch_axis

EXPERIMENTS = ("fig_3_3",)

MATRICES = {
    "uniform": ("uniform", style.RED, "-"),
    "standard_uniform": ("standard uniform", style.ORANGE, "--"),
    "gaussian": ("gaussian", style.GREEN, "-."),
    "standard_gaussian": ("standard gaussian", style.PURPLE, ":"),
}


def draw(frame: pd.DataFrame) -> Figure:
    """Test accuracy against epoch, and at the last epoch, from chance."""
    frame = frame[frame.init_of_B.isin(MATRICES)]
    with style.canvas(columns=2) as (figure, [[left, right]]):
        bars = []
        for init, (name, color, dash) in MATRICES.items():
            rows = frame[frame.init_of_B == init]
            lr = rows.lr.iloc[0]
            band(left, rows, "test_accuracy", color, f"{name}, lr={lr:g}", dash)
            bars.append((name.replace(" ", "\n"), rows, color))
        epoch_axis(left, int(frame.epoch.max()))
        left.set_ylabel("test accuracy")
        left.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
        final_bars(right, bars)
        style.chance_line(left, 0.5)
        return figure
