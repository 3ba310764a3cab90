"""DFA for 50 epochs with SGD and RMSprop beside BP: accuracy, cosines (thesis figure 3.2)."""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.curves import band, epoch_axis

EXPERIMENTS = ("fig_3_2", "fig_3_2_bp")

OPTIMIZERS = {"sgd": ("SGD", "-", style.RED), "rmsprop": ("RMSprop", "--", style.PURPLE)}
"""Name, dashes, and DFA's colour."""


def draw(frame: pd.DataFrame) -> Figure:
    """Test accuracy, weight alignment and gradient alignment against epoch."""
    longest = int(frame.epoch.max())
    with style.canvas(columns=3) as (figure, [panels]):
        for optimizer, (name, dash, color) in OPTIMIZERS.items():
            rows = frame[(frame.optimizer == optimizer) & (frame.k == 3)]
            bp = rows[rows.learning_rule == "bp"]
            dfa = rows[(rows.learning_rule == "dfa") & (rows.epochs == longest)]
            band(panels[0], bp, "test_accuracy", style.color("bp"), f"BP, {name}", dash)
            band(panels[0], dfa, "test_accuracy", color, f"DFA, {name}", dash)
            for axes, column in zip(
                panels[1:], ("weight_alignment", "gradient_alignment"), strict=True
            ):
                band(axes, dfa, column, color, f"DFA, {name}", dash)
                axes.legend(loc="lower right")
        style.chance_line(panels[0], 0.5)
        titles = ("test accuracy", "cos(B, W$^T$)", "cosine of signals with BP's")
        for axes, title in zip(panels, titles, strict=True):
            epoch_axis(axes, longest)
            axes.set_ylabel(title)
        above_chance = (1.03, 0.1)
        panels[0].legend(loc="lower right", bbox_to_anchor=above_chance, handlelength=1.4)
        return figure
