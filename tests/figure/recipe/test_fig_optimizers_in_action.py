"""fabench's optimizers on surfaces. Oracles: values that others have published, a closed form.

Beale's function from (0.8, 1.6), 100 steps: the values of github.com/ilguyi/optimizers.numpy.
"""

import pandas as pd
import pytest
import torch

from fabench.command import cli
from fabench.figure.recipe import fig_optimizers_in_action as recipe
from fabench.figure.recipe.fig_optimizers_in_action import beale, path, saddle
from fabench.optimizer.adam import Adam
from fabench.optimizer.momentum import Momentum
from fabench.optimizer.sgd import Sgd


@pytest.mark.parametrize(
    ("optimizer", "f", "x", "y"),
    [
        (Sgd("sgd", 0.01), 0.098490, 2.44081, 0.32173),
        (Momentum("momentum", 0.005, 0.9), 0.008520, 3.25669, 0.55341),
        (Adam("adam", 0.1, 0.9, 0.999, 1e-8), 0.096163, 2.44514, 0.33627),
    ],
    ids=["sgd", "momentum", "adam"],
)
def test_beales_function(optimizer, f, x, y):
    found = [values[-1] for values in path(optimizer, beale, (0.8, 1.6), 100)]
    assert found == pytest.approx([x, y], abs=1e-5)
    assert beale(*torch.tensor(found)).item() == pytest.approx(f, abs=1e-6)


def test_sgd_at_a_saddle():
    """x shrinks by 1 - 2 lr in every step, and y grows by 1 + 2 lr."""
    x, y = path(Sgd("sgd", 0.05), saddle, (1.0, 1e-3), 40)
    assert x == pytest.approx([0.9**t for t in range(41)])
    assert y == pytest.approx([1e-3 * 1.1**t for t in range(41)])


def test_a_path_and_a_curve_for_every_optimizer():
    axes = recipe.draw(pd.DataFrame()).axes
    for above, below in zip(axes[:3], axes[3:], strict=True):
        names = [line.get_label() for line in above.lines if line.get_label()[0] != "_"]
        assert names == list(recipe.OPTIMIZERS)
        assert len(below.lines) == len(names)
        for line, curve in zip(above.lines, below.lines, strict=False):
            assert len(line.get_xdata()) == len(curve.get_ydata()) == 301


def test_it_needs_no_runs(workdir, tmp_path, capsys):
    assert cli.main(["figures", "fig_optimizers_in_action"]) == 0
    assert "0 runs to train" in capsys.readouterr().out
    assert (tmp_path / "outputs/figures/fig_optimizers_in_action.png").exists()
    assert not (tmp_path / "outputs/runs").exists()
