"""fig_gradient_free. Oracle: passes counted by hand."""

import numpy as np
import pandas as pd

from fabench.figure.recipe import fig_gradient_free

RULES = {
    "bp": {},
    "forward_gradient weights": {"directions": 3},
    "forward_gradient activities": {"directions": 1},
    "evolution_strategy": {"pairs": 20},
    "genetic_algorithm": {"individuals": 100},
    "local_search": {"train_examples": 5000},
    "weight_search": {"weights": 7},
}
PASSES = [1, 4, 2, 40, 100, 1, 15]


def test_examples_count_each_time_that_they_pass_forward():
    frame = pd.DataFrame(
        {
            "learning_rule": key.split()[0],
            "perturbed": [*key.split(), np.nan][1],
            "seed": seed, "epoch": epoch, "test_accuracy": 0.1 * epoch + 0.01 * seed, **settings,
        }
        for key, settings in RULES.items()
        for seed in (0, 1)
        for epoch in (0, 1, 2)
    )  # fmt: skip
    [axes] = fig_gradient_free.draw(frame).axes
    labels = [line.get_label() for line in axes.lines[:-1]]
    found = {
        label.split(",")[0] + (" w" if "weights" in label else ""): line.get_xdata().tolist()
        for label, line in zip(labels, axes.lines, strict=False)
    }
    expected = {
        fig_gradient_free.NAMES[key].split(",")[0] + (" w" if "weights" in key else ""): [
            n * settings.get("train_examples", 60_000) * epoch for epoch in (1, 2)
        ]
        for (key, settings), n in zip(RULES.items(), PASSES, strict=True)
    }
    assert found == expected
    assert all(label.endswith("20.5 %") for label in labels)
