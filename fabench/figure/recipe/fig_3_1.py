"""BP and DFA with SGD, k=1 and k=3, 95 % intervals (thesis figure 3.1)."""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.curves import band, epoch_axis

EXPERIMENTS = ("fig_3_1",)

NEAR_ONE = (0.85, 1.0)
"""Test accuracies that k=1 shows; chance, where it begins, is far below."""


def draw(frame: pd.DataFrame) -> Figure:
    """Test accuracy against epoch, a panel per k; k=1 from 0.85 on."""
    with style.canvas(columns=2) as (figure, [panels]):
        for axes, k in zip(panels, (1, 3), strict=True):
            for rule in ("bp", "dfa"):
                rows = frame[(frame.learning_rule == rule) & (frame.k == k)]
                band(axes, rows, "test_accuracy", style.color(rule), rule.upper())
            if k == 1:
                axes.set_ylim(*NEAR_ONE)
            else:
                style.chance_line(axes, 0.5)
            epoch_axis(axes, int(frame.epoch.max()))
            axes.set_ylabel("test accuracy")
            axes.set_title(f"k={k}, SGD")
        panels[0].legend(loc="lower right")
        return figure
