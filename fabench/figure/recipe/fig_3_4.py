"""BP and DFA with every optimizer, k=3 (thesis figure 3.4; five optimizers more)."""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.bars import final_bars

EXPERIMENTS = ("fig_3_4",)

PANELS = {
    "the thesis's": ["sgd", "adagrad", "rmsprop", "adadelta", "adam"],
    "five more": ["momentum", "nesterov", "adamax", "nadam", "amsgrad"],
}


def draw(frame: pd.DataFrame) -> Figure:
    """Test accuracy at the last epoch, BP and DFA side by side for every optimizer."""
    frame = frame[(frame.k == 3) & (frame.epochs == frame.epochs.min())]
    with style.canvas(columns=2) as (figure, [panels]):
        for axes, (title, optimizers) in zip(panels, PANELS.items(), strict=True):
            for offset, rule in ((-0.2, "bp"), (0.2, "dfa")):
                rows = frame[frame.learning_rule == rule]
                bars = [(o, rows[rows.optimizer == o], style.color(rule)) for o in optimizers]
                final_bars(axes, bars, offset, width=0.38, label=rule.upper())
            style.chance_line(axes, 0.5)
            axes.set_title(title)
            axes.tick_params(axis="x", labelsize="x-small")
        panels[0].legend(loc="upper left", bbox_to_anchor=(0, 1.02), ncols=2)
        return figure
