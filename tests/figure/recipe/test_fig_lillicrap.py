"""Lillicrap et al.'s linear problem: the experiment's setting, the toy, the invariant, the figure.

Oracles: the rule's own signals, a numerical Jacobian, closed forms, the paper's equations in NumPy.
"""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from by_hand import HandPart
from PIL import Image

from fabench.command import cli, figures
from fabench.figure.recipe import fig_lillicrap
from fabench.figure.recipe.fig_lillicrap import drift, eigenvalue, flow, trajectory
from fabench.learning_rule.fa import Fa
from fabench.model.layer.network import Layer
from fabench.population.population import Row
from fabench.run.trainer import population_of

CPU = torch.device("cpu")


def test_the_experiment_has_the_published_setting():
    configs = figures.configs_of(["fig_lillicrap"], [], cli.conf_dir())
    for config in configs:
        trainer = config.trainer
        assert (trainer.batch_size, config.optimizer.lr, len(config.seeds)) == (1, 0.001, 10)
        assert trainer.epochs * config.dataset.n_train == 2000
        assert [(layer.fan_in, layer.fan_out) for layer in config.layers()] == [(30, 20), (20, 10)]
        assert {layer.activation for layer in config.layers()} == {"linear"}
        people = population_of(config, [Row(s, config.scalars()) for s in config.seeds], CPU)
        assert people.matrices("b") == []
        for matrix, bound in [(W, 0.01) for W in people.matrices("W")] + [
            (B, 0.5) for B in people.matrices("B")
        ]:
            assert 0.99 * bound < matrix.abs().max() <= bound
            assert -0.1 * bound < matrix.mean() < 0.1 * bound


# -- The toy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("w_0, w_1, b", [(0.5, -1.5, 1.0), (-2.0, 0.7, 1.0), (1.2, 0.3, -0.4)])
def test_the_flow_is_descent_with_fa(w_0, w_1, b):
    """On a 1-1-1 network that learns y = x from x = 1 and x = -1."""
    *W, B = (torch.full((1, 1, 1), m, dtype=torch.float64) for m in (w_0, w_1, b))
    x = torch.tensor([[[1.0], [-1.0]]], dtype=torch.float64)
    layers = (Layer(1, 1), Layer(1, 1))
    part = HandPart(layers, W=W, B=[B])
    passed = part.forward(x)
    signals = Fa(name="fa").teaching_signals(passed.output - x, x, passed, part)
    gradients = [(h.mT @ signals[layer]).item() / 2 for layer, h in enumerate(passed.h)]
    assert flow(w_0, w_1, b) == pytest.approx([-g for g in gradients])


@pytest.mark.parametrize("b", [1.0, 0.3, -2.0])
@pytest.mark.parametrize("w_0", [-2.5, -1.1, -0.9, -0.4, 0.3, 1.0, 2.0])
def test_fixed_points_are_the_hyperbola_with_its_eigenvalues(w_0, b):
    w, step = np.array([w_0, 1 / w_0]), 1e-6
    assert flow(*w, b) == pytest.approx((0, 0))
    columns = [
        np.subtract(flow(*(w + d), b), flow(*(w - d), b)) / (2 * step) for d in step * np.eye(2)
    ]
    jacobian = np.stack(columns, axis=1)
    expected = eigenvalue(w_0, b)
    assert np.trace(jacobian) == pytest.approx(expected, abs=1e-6)
    assert np.linalg.det(jacobian) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(jacobian @ [1, -1 / w_0**2], 0, atol=1e-6)  # along the hyperbola


def test_stable_points_are_right_of_zero_and_left_of_minus_one():
    w_0 = np.array([-3.0, -1.01, -0.99, -0.1, 0.1, 0.99, 3.0])
    assert (eigenvalue(w_0) < 0).tolist() == [True, True, False, False, True, True, True]
    assert eigenvalue(-1.0) == 0


@pytest.mark.parametrize("start", fig_lillicrap.STARTS)
def test_trajectories_follow_the_parabolas_to_stable_points(start):
    w_0, w_1 = trajectory(start)
    np.testing.assert_allclose(w_1 - w_0**2 / 2, start[1] - start[0] ** 2 / 2, atol=1e-5)
    assert w_0[-1] * w_1[-1] == pytest.approx(1, abs=1e-3)
    assert eigenvalue(w_0[-1]) < 0


def test_from_zero_the_toy_learns_y_equals_x():
    """w_1 = w_0^2 / 2 and w_0 w_1 = 1 meet at w_0^3 = 2."""
    assert trajectory((0.0, 0.0))[:, -1] == pytest.approx([2 ** (1 / 3), 2 ** (-1 / 3)], abs=1e-4)


@pytest.mark.parametrize("side", [-1, 1])
def test_unstable_points_part_the_plane(side):
    """From beside (-0.5, -2) the parabola leads to its other roots, w_0^2 - w_0/2 - 4 = 0."""
    w_0 = trajectory((-0.5, -2 + side * 1e-5))[0]
    assert w_0[-1] == pytest.approx(0.25 + side * np.sqrt(0.0625 + 4), abs=1e-3)


# -- The invariant ---------------------------------------------------------------------------


@pytest.fixture
def config(make_config):
    """As many hidden units as outputs, so that B may be transposed by mistake."""
    return make_config(
        learning_rule="fa", dataset="linear_teacher", task="regression", init_of_B="unit_uniform",
        init_of_B__scale=0.5, model__hidden=[10], model__activation="linear",
        model__weight_init="unit_uniform", model__weight_scale=0.01, dataset__n_test=64,
    )  # fmt: skip


def test_the_drift_is_that_of_the_papers_equations(config):
    """With the paper's column vectors: y = W A x, hidden signal B e, e = T x - y."""
    lr, steps = 0.05, 20
    people = population_of(config, [Row(0, config.scalars())], CPU)
    A, W, B = (m[0].double().numpy().T for m in (*people.matrices("W"), *people.matrices("B")))
    x, y = (part.astype(np.float64).T for part in config.dataset.draw(0, "validation", 0))
    left, right = [B @ W + W.T @ B.T], [A @ A.T]
    for _ in range(steps):
        e = y - W @ A @ x
        W, A = W + lr * e @ (A @ x).T / 64, A + lr * B @ e @ x.T / 64
        left.append(B @ W + W.T @ B.T)
        right.append(A @ A.T)
    C = left[0] - right[0]
    apart = [
        np.sqrt(((one - other - C) ** 2).sum()) for one, other in zip(left, right, strict=True)
    ]
    times, ours = drift(config, lr, lr * steps)
    np.testing.assert_allclose(times, lr * np.arange(steps + 1))
    np.testing.assert_allclose(ours, apart / np.sqrt((right[-1] ** 2).sum()), rtol=1e-3, atol=1e-6)


def test_half_the_learning_rate_drifts_half_as_far(config):
    ends = [drift(config, lr, 1.0)[1][-1] for lr in (0.02, 0.01, 0.005)]
    assert ends[0] < 0.1
    assert np.divide(ends[:-1], ends[1:]) == pytest.approx([2, 2], rel=0.1)


WRONG = {
    "sign": lambda e, passed, B: passed.carry(e, {1: -B}),
    "transposed": lambda e, passed, B: passed.carry(e, {1: B.mT}),
    "scale": lambda e, passed, B: passed.carry(e, {1: 2 * B}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_nothing_but_fa_keeps_the_invariant(config, monkeypatch, wrong):
    monkeypatch.setattr(
        Fa,
        "teaching_signals",
        lambda self, e, y, passed, part: WRONG[wrong](e, passed, part.operand("B0")),
    )
    coarse, fine = (drift(config, lr, 0.3)[1][-1] for lr in (0.01, 0.005))
    assert fine > 0.2
    assert coarse / fine < 1.2


# -- The figure ------------------------------------------------------------------------------


def test_the_figure_counts_examples_and_measures_degrees(config, monkeypatch, tmp_path):
    monkeypatch.setattr(fig_lillicrap, "RATES", {0.1: "-", 0.05: ":"})
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.resolved()))
    rows = [
        {
            "learning_rule": rule, "seed": seed, "epoch": epoch, "lr": 0.001,
            "test_nse": nse**epoch, "folder": str(tmp_path),
            "gradient_alignment": [0.0, 0.5, np.sqrt(3) / 2][epoch] if rule == "fa" else np.nan,
        }
        for rule, nse in (("bp", 0.5), ("fa", 0.2), ("shallow", 1.0))
        for seed in range(2)
        for epoch in range(3)
    ]  # fmt: skip
    errors, angles, plane, drifts = fig_lillicrap.draw(pd.DataFrame(rows)).axes
    examples = [0, 40, 80]  # the configuration's train_examples in an epoch
    assert errors.get_xlim() == angles.get_xlim() == (0, 80)
    for line, nse in zip(errors.lines, (0.5, 0.2, 1.0), strict=True):
        assert list(line.get_xdata()) == examples
        assert line.get_ydata() == pytest.approx([1, nse, nse**2])
    assert [line.get_label() for line in errors.lines] == ["BP", "FA", "output layer only"]
    angle, right_angle = angles.lines
    assert list(angle.get_xdata()) == examples
    assert angle.get_ydata() == pytest.approx([90, 60, 30])
    assert list(right_angle.get_ydata()) == [90, 90]
    stable, unstable = (line.get_xydata() for line in plane.lines[:2])
    for line, inside in ((stable, False), (unstable, True)):
        known = line[np.isfinite(line[:, 1])]
        assert known.prod(1) == pytest.approx(np.ones(len(known)))
        assert (((known[:, 0] >= -1) & (known[:, 0] < 0)) == inside).all()
    for line, rate in zip(drifts.lines, (0.1, 0.05), strict=True):
        assert line.get_xdata()[[0, -1]] == pytest.approx([rate, 2])


def test_the_figure_is_made_in_smoke_mode(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fig_lillicrap, "RATES", {0.1: "-"})
    args = ["debug=smoke", "seed=[0,1]", "trainer.device=cpu"]
    assert cli.main(["figures", "fig_lillicrap", *args]) == 0, capsys.readouterr().err
    with Image.open(tmp_path / "outputs/figures/fig_lillicrap.png") as image:
        assert image.width > image.height > 500
