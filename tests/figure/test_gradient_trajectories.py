"""Two weights' paths. Oracles: torch's own network, autograd and optimizers; beta as a rate."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from fabench.figure import gradient_trajectories as figure
from fabench.figure.gradient_trajectories import adagrad, adam, paths, sgd, starting, velocity
from fabench.figure.recipe import fig_c_1, fig_c_2, fig_c_3, fig_c_4

SEED = 14
TORCHS = {
    "sgd": (sgd(0.5), lambda w: torch.optim.SGD([w], 0.5, momentum=0.5)),
    "adam": (adam(0.5), lambda w: torch.optim.Adam([w], 0.5)),
    "adagrad": (adagrad(0.5), lambda w: torch.optim.Adagrad([w], 0.5)),
}


class ScaledRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, beta):
        ctx.save_for_backward(a)
        ctx.beta = beta
        return a.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        [a] = ctx.saved_tensors
        return torch.where(a > 0, ctx.beta * gradient, 0), None


@pytest.mark.parametrize("beta", [0.0, 0.5, 5.0])
@pytest.mark.parametrize("method", TORCHS)
def test_paths_are_torchs(method, beta):
    optimizer, of_torch = TORCHS[method]
    people, x, y = figure.population(optimizer, [beta], [SEED])
    W = [w[0].clone() for w in people.matrices("W")]
    assert [tuple(w.shape) for w in W] == [(2, 1), (1, 2), (2, 2), (2, 2)]
    w = W[1].requires_grad_()
    theirs, places, losses = of_torch(w), [], []
    for _ in range(20):
        a = torch.relu(x[0] @ W[0]) @ w
        output = torch.relu(ScaledRelu.apply(a, beta) @ W[2]) @ W[3]
        loss = F.cross_entropy(output, y[0])
        places.append(w.detach().flatten().clone())
        losses.append(loss.item())
        theirs.zero_grad()
        loss.backward()
        theirs.step()
    found = paths(optimizer, [1.0, beta], [8, SEED], epochs=19)
    np.testing.assert_allclose(found[1, 1], torch.stack(places).numpy(), rtol=1e-4, atol=1e-5)
    height = figure.surface(SEED, torch.stack(places))
    np.testing.assert_allclose(height, losses, rtol=1e-4)


def test_only_the_second_layer_learns():
    people, x, y = figure.population(adam(0.5), [5.0], [SEED])
    before = [w.clone() for w in people.matrices("W")]
    people.step(x, y)
    moved = [not torch.equal(*pair) for pair in zip(before, people.matrices("W"), strict=True)]
    assert moved == [False, True, False, False]


def test_with_sgd_beta_is_a_factor_on_the_rate():
    """To the last digit, for a power of two."""
    seeds = [1, 14]
    assert np.array_equal(*(paths(sgd(lr), [beta], seeds, 30) for lr, beta in ((0.5, 4), (2, 1))))


def test_velocities():
    seeds, betas = starting(3), (0.0, 0.5, 5.0)
    slow, fast = (velocity(paths(f(0.1), betas, seeds, 30)) for f in (sgd, adam))
    assert seeds == [1, 8, 14]
    assert (slow[0] == 0).all()
    assert (fast[0] == 0).all()
    assert (slow[2] > slow[1]).all()
    np.testing.assert_allclose(fast[2], fast[1], rtol=1e-3)
    corner = np.array([[[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]]])
    assert velocity(corner) == pytest.approx([4.5])


@pytest.mark.parametrize(
    ("recipe", "names"),
    [
        (fig_c_1, ["$\\beta$=5", "$\\beta$=1"]),
        (fig_c_2, ["$\\beta$=1", "$\\beta$=0.5"]),
        (fig_c_3, [f"$\\beta$={beta}" for beta in (100, 5, 1, 0.5)]),
    ],
)
def test_trials_show_a_path_for_every_beta(monkeypatch, recipe, names):
    monkeypatch.setattr(figure, "starting", lambda n: [14, 1, 8][:n])
    monkeypatch.setattr(figure, "paths", lambda *args: paths(*args, epochs=5))
    drawn = recipe.draw(pd.DataFrame())
    panels = [axes for axes in drawn.axes if axes.get_xlabel() == "$w_1$"]
    assert [axes.get_title() for axes in panels] == ["seed 14", "seed 1", "seed 8"]
    for axes in panels:
        labels = [line.get_label() for line in axes.lines if line.get_label()[0] != "_"]
        assert labels == [*names, "start"]


def test_velocity_against_beta(monkeypatch):
    monkeypatch.setattr(fig_c_4, "RUNS", 2)
    monkeypatch.setattr(fig_c_4, "paths", lambda *args: paths(*args, epochs=3))
    *panels, last = fig_c_4.draw(pd.DataFrame()).axes
    assert [axes.get_title() for axes in panels] == list(fig_c_4.METHODS)
    for axes, (optimizer, _) in zip(panels, fig_c_4.METHODS.values(), strict=True):
        own = velocity(paths(optimizer, fig_c_4.BETAS, starting(2), epochs=3))
        assert list(axes.containers[0].lines[0].get_ydata()) == pytest.approx(own.mean(1))
    assert [line.get_xdata()[0] for line in last.lines] == pytest.approx([0.05, 0.25, 0.75])
