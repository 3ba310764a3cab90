"""A network's accuracy against epoch, and which settings let it train."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fabench.figure import style
from fabench.figure.curves import band, epoch_axis
from fabench.figure.heat_map import heat_map

SWEPT = {"weight_scale": "scale of the initial weights", "weight_decay": "weight decay"}


def sensitivity(
    frame: pd.DataFrame, rules: Mapping[str, str], centre: Mapping[str, float], chance: float
) -> Figure:
    """Left: validation accuracy and gradient alignment of the longest runs with the settings
    ``centre`` (lr and ``SWEPT``). Then for every rule of the shortest runs, the grid: the last
    epoch's accuracy, mean over seeds, by learning rate and each of ``SWEPT``, the other at the
    centre. ``rules``: their names by the learning rule's.
    """
    central = (frame[list(centre)] == pd.Series(centre)).all(axis=1)
    frame = frame.assign(test_accuracy=100 * frame.test_accuracy)
    curves = frame[central & (frame.epochs == frame.epochs.max())]
    grid = frame[(frame.epochs == frame.epochs.min()) & (frame.epoch == frame.epochs)]
    mapped = [rule for rule in rules if (grid.learning_rule == rule).any()]
    with style.canvas(2, 1 + len(mapped)) as (figure, panels):
        for rule, name in rules.items():
            rows = curves[curves.learning_rule == rule]
            band(panels[0, 0], rows, "test_accuracy", style.color(rule), name)
            if rule != "bp":
                band(panels[1, 0], rows, "gradient_alignment", style.color(rule), name)
        style.chance_line(panels[0, 0], 100 * chance)
        titles = ("validation accuracy in %", "cosine of teaching signals with BP's")
        for axes, title in zip(panels[:, 0], titles, strict=True):
            epoch_axis(axes, int(curves.epoch.max()))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.set_ylabel(title)
            axes.legend(loc="center right")
        for column, rule in enumerate(mapped, 1):
            for axes, (key, label) in zip(panels[:, column], SWEPT.items(), strict=True):
                [held] = SWEPT.keys() - {key}
                rows = grid[(grid.learning_rule == rule) & (grid[held] == centre[held])]
                table = rows.pivot_table(index=key, columns="lr", values="test_accuracy")
                table = table.sort_index(ascending=False).rename_axis(label)
                table = table.rename_axis("learning rate", axis=1)
                image = heat_map(axes, table, "{:.0f}".format, limits=(100 * chance, 100))
                axes.spines[:].set_visible(False)
                axes.set_title(rules[rule], fontsize=8)
                axes.tick_params(axis="x", labelsize=7)
        figure.colorbar(image, ax=panels[:, -1], label="validation accuracy in %")
        return figure
