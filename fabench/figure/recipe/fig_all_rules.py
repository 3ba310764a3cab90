"""Every learning rule's test error on MNIST and Fashion-MNIST: table_all_rules as a picture.

Rules stand in the order of their error on MNIST. The colour says what a hidden layer learns from; a
full dot has a pass backward through all layers, an open one has none. Lines are intervals of the
mean over seeds, dotted is BP.
"""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fabench.figure import style
from fabench.figure.recipe import table_all_rules
from fabench.figure.recipe.table_all_rules import EXPERIMENTS as EXPERIMENTS
from fabench.figure.recipe.table_all_rules import NOTHING
from fabench.figure.recipe.table_all_rules import data as data

ON_REQUEST = True  # those of table_all_rules

COLORS = {
    "error": style.BLUE,
    "targets": style.GREEN,
    "label": style.ORANGE,
    "loss": style.PURPLE,
    NOTHING: "0.6",
}
"""By what a hidden layer learns from."""

TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}


def draw(frame: pd.DataFrame) -> Figure:
    """A panel for each dataset, a line for each rule."""
    table = table_all_rules.tabulate(frame)
    order = table[table.dataset == "mnist"].learning_rule.tolist()
    row_height = 0.145
    with style.canvas(1, 2, height=0.9 + row_height * len(order)) as (figure, [panels]):
        panels[1].sharey(panels[0])
        for axes, (dataset, title) in zip(panels, TITLES.items(), strict=True):
            rows = table[table.dataset == dataset].set_index("learning_rule")
            for place, rule in enumerate(order):
                if rule not in rows.index:
                    continue
                row, color = rows.loc[rule], COLORS[rows.learns_from[rule]]
                ends = [row.test_error_ci95_low, row.test_error_ci95_high]
                axes.plot(ends, [place] * 2, color=color)
                face = color if row.backward_pass == "yes" else "white"
                axes.plot(row.test_error_mean, place, "o", color=color, markersize=4, mfc=face)
            axes.axvline(rows.test_error_mean.bp, color=style.BLACK, linestyle=":", linewidth=0.8)
            style.log_axis(axes, rows.test_error_mean.tolist())
            axes.set_xlabel(f"{title}: test error in %")
            axes.grid(axis="x", color="0.9", linewidth=0.5)
            axes.set_axisbelow(True)
        panels[0].set_yticks(range(len(order)), [rule.replace("_", " ") for rule in order])
        panels[0].set_ylim(len(order) - 0.4, -0.6)
        panels[1].tick_params(labelleft=False)
        dots = [
            Line2D([], [], marker="o", linestyle="", color=color, label=name)
            for name, color in COLORS.items()
        ]
        for face, label in (("0.3", "with a backward pass"), ("white", "without")):
            dots.append(
                Line2D([], [], marker="o", linestyle="", color="0.3", mfc=face, label=label)
            )
        panels[1].legend(handles=dots, loc="upper right", title="a hidden layer learns from")
        return figure
