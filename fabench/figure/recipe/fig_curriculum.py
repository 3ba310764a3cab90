"""Easy examples first: a perceptron among irrelevant inputs, and shapes.

Y. Bengio, J. Louradour, R. Collobert, J. Weston, "Curriculum learning", ICML 2009, figures 1 and 3,
and what they claim:

    (a) A perceptron that sees its 200 examples sorted, easy ones first, has a lower test error than
        one that sees them in random order, and that one a lower than with hard ones first; easy is
        what has few irrelevant inputs or a large margin (section 4.2).
    (b) A network of three hidden layers that sees basic shapes up to the switch epoch and full ones
        from there has a lower test error the later that is, up to half of the epochs (section 5).

The perceptron is a sigmoid unit whose weights and learning rate are so large that its output is 0
or 1. Each seed has the same items and initial weights in every order: shown is the difference to
random order. Besides the paper's inputs in [0, 1] there are centred ones: of the former the items
of the largest margins are all of one class.

Shapes are reduced: three layers of 100 units, 32 epochs (the paper: 256), six seeds, no stopping by
validation data. As there, an epoch has 10,000 examples, and there are 10,000 full images; of basic
ones there are as many as the epochs before the switch have their share of. Beside the curriculum
stands the same network on the same images in random order: it gains as much from more images.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.curves import means
from fabench.figure.data import at_the_end
from fabench.run.statistics import summarize

EXPERIMENTS = (
    "fig_curriculum",
    "fig_curriculum_none",
    "fig_curriculum_shapes",
    "fig_curriculum_shapes_4",
    "fig_curriculum_shapes_8",
    "fig_curriculum_shapes_16",
)
ON_REQUEST = True  # 1,536 network epochs of shapes
INTERVAL = "Student-t 95 % interval of the mean over seeds (left: of paired differences)"

ORDERS = {"easy_first": ("easy first", style.BLUE), "hard_first": ("hard first", style.RED)}
DIFFICULTIES = {"irrelevant": "irrelevant inputs", "margin": "margin"}
RANGES = {0.0: ("[0, 1]", "o"), -1.0: ("[-1, 1]", "s")}
SHAPES = {"easy_first": ("basic ones first", style.BLUE), "none": ("random order", style.BLACK)}


def draw(frame: pd.DataFrame) -> Figure:
    """Left the perceptron's differences, right the error on shapes against the switch epoch."""
    last = at_the_end(frame)
    last = last.assign(error=100 * (1 - last.test_accuracy))
    with style.canvas(1, 2, height=2.8) as (figure, [[toy, shapes]]):
        _toy(toy, differences(last[last.dataset == "irrelevant_inputs"]))
        _shapes(shapes, last[last.dataset == "shapes"])
        return figure


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """The perceptron's sorted runs, and their error less that of the same seed in random order."""
    keys = ["low", "seed"]
    none = rows[rows.curriculum == "none"].set_index(keys).error
    ordered = rows[rows.curriculum != "none"].set_index(keys)
    return ordered.assign(difference=ordered.error - none.reindex(ordered.index)).reset_index()


def _toy(axes: Axes, rows: pd.DataFrame) -> None:
    for place, by in enumerate(DIFFICULTIES):
        for i, (curriculum, (name, color)) in enumerate(ORDERS.items()):
            for j, (low, (inputs, marker)) in enumerate(RANGES.items()):
                chosen = (rows.curriculum_by == by) & (rows.curriculum == curriculum)
                s = summarize(rows[chosen & (rows.low == low)].difference.tolist())
                axes.errorbar(
                    [place + (i - 0.5) * 0.4 + (j - 0.5) * 0.12], [s.mean], yerr=[s.half_width],
                    fmt=marker, markersize=3, capsize=2, linewidth=1, color=color,
                    markerfacecolor=color if j == 0 else "white",
                    label=None if place else f"{name}, {inputs}",
                )  # fmt: skip
    axes.axhline(0, color="0.5", linewidth=0.6, zorder=0)
    axes.set_xticks(range(len(DIFFICULTIES)), [f"by {name}" for name in DIFFICULTIES.values()])
    axes.set_xlim(-0.5, len(DIFFICULTIES) - 0.5)
    axes.set_ylabel("test error less that of random order\n(points)")
    axes.set_title("perceptron; published: easy below 0, hard above", fontsize=7)
    axes.legend(loc="upper left", title="order, inputs", title_fontsize=7)


def _shapes(axes: Axes, rows: pd.DataFrame) -> None:
    rows = rows.assign(switch=rows.basic * rows.epochs)
    for curriculum, (name, color) in SHAPES.items():
        own = rows[rows.curriculum == curriculum]
        means(axes, own, "switch", "error", color, name)
    axes.set_xticks(sorted(rows.switch.unique()))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel(f"switch epoch, of {rows.epochs.iloc[0]}: the share of basic shapes")
    axes.set_ylabel("test error on full shapes (%)")
    seeds = rows.seed.nunique()
    axes.set_title(f"shapes, {seeds} seeds; published: the later, the lower", fontsize=7)
    axes.legend(loc="best")
