"""BP and DFA with SGD, k=1 and k=3, 95 % intervals (thesis figure 3.1)."""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.curves import band, parity_axes

EXPERIMENTS = ("fig_3_1",)


def draw(frame: pd.DataFrame) -> Figure:
    """Test accuracy against epoch, a panel per k; k=1 from 0.85 on."""
    with style.canvas(columns=2) as (figure, [panels]):
        for axes, k in zip(panels, (1, 3), strict=True):
            for rule in ("bp", "dfa"):
                rows = frame[(frame.learning_rule == rule) & (frame.k == k)]
                band(axes, rows, "test_accuracy", style.color(rule), rule.upper())
            parity_axes(axes, k, int(frame.epoch.max()))
            axes.set_title(f"k={k}, SGD")
        panels[0].legend(loc="lower right")
        return figure
