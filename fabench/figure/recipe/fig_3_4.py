"""BP and DFA with every optimizer, k=3 (thesis figure 3.4; five optimizers more)."""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.bars import differences, final_bars

EXPERIMENTS = ("fig_3_4",)

OPTIMIZERS = (  # the thesis's, then five more
    "sgd", "adagrad", "rmsprop", "adadelta", "adam",
    "momentum", "nesterov", "adamax", "nadam", "amsgrad",
)  # fmt: skip


def draw(frame: pd.DataFrame) -> Figure:
    """The last epoch's test accuracy, BP beside DFA, and DFA less BP, paired over seeds."""
    frame = frame[(frame.k == 3) & (frame.epochs == frame.epochs.min())]
    bp, dfa = (
        [(o, frame[(frame.learning_rule == rule) & (frame.optimizer == o)]) for o in OPTIMIZERS]
        for rule in ("bp", "dfa")
    )
    with style.canvas(columns=2) as (figure, [[left, right]]):
        for offset, rule, runs in ((-0.2, "bp", bp), (0.2, "dfa", dfa)):
            bars = [(name, rows, style.color(rule)) for name, rows in runs]
            final_bars(left, bars, offset, width=0.38, label=rule.upper())
        left.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
        pairs = [(name, one, other) for (name, one), (_, other) in zip(dfa, bp, strict=True)]
        differences(right, pairs, style.color("dfa"))
        right.set_ylabel("DFA less BP in points")
        for axes in (left, right):
            axes.tick_params(axis="x", labelsize=7, rotation=40)
        return figure
