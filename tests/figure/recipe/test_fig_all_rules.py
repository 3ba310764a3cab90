"""The picture of table_all_rules. Oracle: hand-made errors."""

import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from fabench.figure.recipe import fig_all_rules
from fabench.figure.recipe.fig_all_rules import COLORS

ERRORS = {"drtp": 8.0, "bp": 2.0, "weight_search": 20.0, "target_propagation": 4.0}


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "dataset": dataset, "learning_rule": rule, "seed": seed, "epoch": 5, "seconds": 3.0,
            "test_accuracy": 1 - (error + seed) * factor / 100, "update_alignment": 0.5,
            "own_parameters": 0,
        }
        for dataset, factor in (("mnist", 1), ("fashion_mnist", 2))
        for rule, error in ERRORS.items()
        for seed in (0, 1, 2)
    )  # fmt: skip


def test_rules_stand_in_order_with_colour_interval_and_bps_line(frame):
    first, second = fig_all_rules.draw(frame).axes
    names = [label.get_text() for label in first.get_yticklabels()]
    assert names == ["bp", "target propagation", "drtp", "weight search"]
    for axes, factor in ((first, 1), (second, 2)):
        *rules, bp = axes.lines
        dots = {line.get_ydata()[0]: line for line in rules[1::2]}
        assert [dots[at].get_xdata()[0] for at in range(4)] == pytest.approx(
            [factor * (error + 1) for error in sorted(ERRORS.values())]
        )
        assert bp.get_xdata() == pytest.approx([3 * factor] * 2)
        colors = [to_rgba(dots[at].get_color()) for at in range(4)]
        assert colors == [to_rgba(COLORS[n]) for n in ("error", "targets", "label", "loss")]
        filled = [dots[at].get_markerfacecolor() != "white" for at in range(4)]
        assert filled == [True, True, False, False]
        low, high = rules[0].get_xdata()  # Student's t for three seeds
        assert high - low == pytest.approx(2 * 4.302653 * factor / 3**0.5)


def test_a_rule_may_be_on_mnist_alone(frame):
    of_both = (frame.dataset == "mnist") | (frame.learning_rule != "drtp")
    first, second = fig_all_rules.draw(frame[of_both]).axes
    assert [len(axes.lines) for axes in (first, second)] == [2 * 4 + 1, 2 * 3 + 1]
    assert [line.get_ydata()[0] for line in second.lines[1:-1:2]] == [0, 1, 3]
