"""Paths of two weights on the loss surface, with a factor beta on ReLU's derivative.

    2-1-2-2 ReLU units, softmax of 2 outputs, no biases              (1)
    x ~ N(±(1, 1), I_2)                                              (2)
    f'(a; beta) = beta where a > 0, else 0, in the second layer      (3)

Only the two weights of the second hidden layer learn, w_1 and w_2, by the gradient of all examples
(an epoch is a step). It is fabench's own network, learning_rule=pblf with m = beta at its second
site, and fabench's own optimizers, all betas and seeds as one population.

Reference: R. H. Eyono, "Learning to backpropagate", 2020, appendix C.

Differences from the paper:
1. It does not say how many examples there are (here 256), nor how weights begin: as torch's do,
   U(±1/sqrt(fan-in)). A start whose gradient is 0 in w_1 or w_2, by silent units, is left out.
2. The velocity of a path is not defined there: here its length over the number of epochs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from fabench.dataset.two_gaussians import TwoGaussians
from fabench.figure import style
from fabench.learning_rule.pblf import Pblf
from fabench.model.layer.initialization import InitOfB
from fabench.model.layer.network import Layer, forward
from fabench.optimizer.adagrad import Adagrad
from fabench.optimizer.adam import Adam
from fabench.optimizer.base import Optimizer
from fabench.optimizer.momentum import Momentum
from fabench.parallel.serial import Serial
from fabench.population.population import Population, Row
from fabench.population.precision import NumberFormat
from fabench.schedule.constant import Constant
from fabench.schema import scalars
from fabench.task.classification import Classification

LAYERS = (
    Layer(2, 1, "relu", trained=False),
    Layer(1, 2, "relu"),
    Layer(2, 2, "relu", trained=False),
    Layer(2, 2, trained=False),
)  # (1)
DATA = TwoGaussians("two_gaussians", n_train=256, n_test=1)
TASK = Classification("classification", "softmax_cross_entropy", n_classes=2)
SECOND = 4.0  # mode 0100
EPOCHS, MOMENTUM = 100, 0.5
COLORS = {0.0: style.BLACK, 0.5: style.SKY, 1.0: style.BLUE, 5.0: style.ORANGE, 100.0: style.RED}
"""Of beta."""

Array = NDArray[np.floating[Any]]


def sgd(lr: float) -> Optimizer:
    """The paper's gradient descent, with momentum."""
    return Momentum("momentum", lr, MOMENTUM)


def adam(lr: float) -> Optimizer:
    """Adam with its authors' constants."""
    return Adam("adam", lr, 0.9, 0.999, 1e-8)


def adagrad(lr: float) -> Optimizer:
    """Adagrad with torch's place of epsilon."""
    return Adagrad("adagrad", lr, 1e-10, "outside")


def population(
    optimizer: Optimizer, betas: Sequence[float], seeds: Sequence[int]
) -> tuple[Population, Tensor, Tensor]:
    """Networks of all seeds for the first beta, then for the next, ..., [R], with their training
    sets: x [S, N, 2] of the seeds, y [R, N, 2]."""
    own = {f"optimizer.{name}": getattr(optimizer, name) for name in scalars(type(optimizer))}
    own |= {"trainer.weight_decay": 0.0, "learning_rule.mode": SECOND}
    own |= {f"learning_rule.{name}": 0.0 for name in ("w1", "b1", "w2")}
    rows = [Row(seed, own | {"learning_rule.b2": beta}) for beta in betas for seed in seeds]
    people = Population(
        LAYERS, Pblf("pblf", 0.0, 0.0, 0.0, 1.0, SECOND, "linear"), optimizer, TASK, rows,
        NumberFormat("fp32", torch.device("cpu")), init_of_B=InitOfB("uniform", 1.0),
        schedule=Constant("constant"), parallel=Serial("serial"), epochs=EPOCHS,
    )  # fmt: skip
    drawn = [DATA.draw(seed, "train", 0) for seed in seeds]  # (2)
    x, labels = (torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True))
    return people, x, TASK.targets(labels).repeat(len(betas), 1, 1)


def paths(
    optimizer: Optimizer, betas: Sequence[float], seeds: Sequence[int], epochs: int = EPOCHS
) -> Array:
    """w_1 and w_2 after every epoch from 0 on, [betas, seeds, epochs + 1, 2]."""
    people, x, y = population(optimizer, betas, seeds)
    places = [people.matrices("W")[1].flatten(1).clone()]
    for _ in range(epochs):
        people.step(x, y)
        places.append(people.matrices("W")[1].flatten(1).clone())
    return torch.stack(places, 1).view(len(betas), len(seeds), epochs + 1, 2).double().numpy()


def starting(n: int) -> list[int]:
    """The first n seeds from 0 on that leave both weights a gradient."""
    seeds = range(20 * n)
    [path] = paths(sgd(1.0), [1.0], seeds, epochs=1)
    moved = (path[:, 0] != path[:, 1]).all(1)
    return np.flatnonzero(moved)[:n].tolist()


def velocity(path: Array) -> Array:
    """Length over epochs of paths [..., epochs + 1, 2]."""
    steps = np.linalg.norm(np.diff(path, axis=-2), axis=-1)
    return np.asarray(steps.mean(-1))


def surface(seed: int, w: Tensor) -> Tensor:
    """The mean loss [G] of a seed's network and training set at w_1, w_2 [G, 2]."""
    people, x, y = population(sgd(1.0), [1.0], [seed])
    there = {name: tensor.expand(len(w), -1, -1) for name, tensor in people.tensors.items()}
    output = forward(LAYERS, there | {"W1": w[:, None]}, x.expand(len(w), -1, -1)).output
    return TASK.objective.value(output, y).mean(1)


def draw_trials(optimizer: Optimizer, betas: Sequence[float], n: int = 3) -> Figure:
    """The paths of the first n seeds on their loss surfaces, the first beta lowest and widest."""
    seeds = starting(n)
    found = paths(optimizer, betas, seeds)
    with style.canvas(1, n, height=3.4) as (figure, [panels]):
        for axes, seed, own in zip(panels, seeds, found.swapaxes(0, 1), strict=True):
            _contours(axes, seed, own)
            for number, (beta, path) in enumerate(zip(betas, own, strict=True)):
                color, width = COLORS[beta], 4 - 2.8 * number / (len(betas) - 1)
                axes.plot(*path.T, color=color, linewidth=width, label=f"$\\beta$={beta:g}")
                axes.plot(*path[-1], "os^D"[number], color=color, markersize=2 + 2 * width)
            axes.plot(*own[0, 0], "x", color="0.2", markersize=5, label="start")
            axes.set_title(f"seed {seed}")
            axes.set_xlabel("$w_1$")
            axes.set_ylabel("$w_2$")
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(betas) + 1
        )
        return figure


def _contours(axes: Axes, seed: int, own: Array) -> None:
    """The loss around paths [betas, epochs + 1, 2]."""
    low, high = own.min((0, 1)), own.max((0, 1))
    middle, reach = (low + high) / 2, 0.65 * (high - low).max() + 1e-3
    sides = [np.linspace(m - reach, m + reach, 60) for m in middle]
    x, y = np.meshgrid(*sides)
    w = torch.from_numpy(np.stack([x, y], -1).reshape(-1, 2)).float()
    height = surface(seed, w).view(60, 60).numpy()
    darkest = 2 * height.max() - height.min()  # not black
    drawn = axes.contourf(x, y, height, 25, cmap="Greys", vmax=darkest, zorder=0)
    bar = axes.figure.colorbar(drawn, ax=axes, location="bottom", label="loss", format="%.5g")
    bar.locator = MaxNLocator(3)
    axes.set_aspect("equal")
