"""FA and BP in networks of three and four layers, from a dataframe made by hand."""

import pandas as pd
import pytest

from fabench.figure.recipe import fig_feedback_four_layers


def test_a_panel_for_each_depth_and_a_line_for_each_rule():
    errors = {
        ("[500]", "bp"): 3.0,
        ("[500]", "fa"): 2.0,
        ("[500, 500]", "bp"): 5.0,
        ("[500, 500]", "fa"): 4.0,
    }
    frame = pd.DataFrame(
        {"hidden": hidden, "learning_rule": rule, "seed": seed, "epoch": epoch,
         "test_accuracy": 1 - (error + seed + 10 * (20 - epoch)) / 100}
        for (hidden, rule), error in errors.items()
        for seed in (0, 1, 2)
        for epoch in (0, 10, 20)
    )  # fmt: skip
    three, four = fig_feedback_four_layers.draw(frame).axes
    for axes, depth, ends in ((three, "3 layers", (4.0, 3.0)), (four, "4 layers", (6.0, 5.0))):
        assert axes.get_title().startswith(depth)
        for line, name, end in zip(axes.lines, ("BP", "FA"), ends, strict=True):
            assert line.get_xdata().tolist() == [10, 20]
            assert line.get_ydata().tolist() == pytest.approx([end + 100, end])
            assert line.get_label() == f"{name}, {end:.2f} % at the end"
    assert three.get_ylim() == four.get_ylim()
