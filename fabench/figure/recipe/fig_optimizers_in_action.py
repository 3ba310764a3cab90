"""The optimizers on three surfaces: Beale's function, a saddle, a long valley.

    Beale    f = (1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2, least at (3, 0.5)
    saddle   f = x^2 - y^2
    valley   f = x^2 / 100 + y^2

After the pictures in S. Ruder, "An overview of gradient descent optimization algorithms", 2016,
arXiv:1609.04747. Its claims: where it is steep Adagrad, Adadelta and RMSprop head for the minimum
at once, and momentum and Nesterov overshoot; at a saddle SGD, momentum and Nesterov stall, and
those with a rate for every coordinate leave at once. No networks: fabench's own optimizers take the
exact gradient, each at one rate on all three surfaces, chosen by eye on Beale's function.

Differences: Ruder's rates, starts and surfaces other than Beale's are not known.
"""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from fabench.figure import style
from fabench.optimizer.adadelta import Adadelta
from fabench.optimizer.adagrad import Adagrad
from fabench.optimizer.adam import Adam
from fabench.optimizer.base import Optimizer
from fabench.optimizer.momentum import Momentum
from fabench.optimizer.nesterov import Nesterov
from fabench.optimizer.rmsprop import Rmsprop
from fabench.optimizer.sgd import Sgd
from fabench.schema import scalars

EXPERIMENTS = ()

Surface = Callable[[Tensor, Tensor], Tensor]


def beale(x: Tensor, y: Tensor) -> Tensor:
    """E. M. L. Beale's function, 1958."""
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def saddle(x: Tensor, y: Tensor) -> Tensor:
    """Least along x, without bound along y."""
    return x**2 - y**2


def valley(x: Tensor, y: Tensor) -> Tensor:
    """A hundred times as steep across as along."""
    return x**2 / 100 + y**2


OPTIMIZERS: dict[str, Optimizer] = {
    "SGD": Sgd("sgd", 0.01),
    "momentum": Momentum("momentum", 0.005, 0.9),
    "Nesterov": Nesterov("nesterov", 0.005, 0.9),
    "Adagrad": Adagrad("adagrad", 0.3, 1e-8, "inside"),
    "Adadelta": Adadelta("adadelta", 10.0, 0.9, 1e-6, "update"),
    "RMSprop": Rmsprop("rmsprop", 0.03, 0.9, 1e-8, "inside"),
    "Adam": Adam("adam", 0.1, 0.9, 0.999, 1e-8),
}
PANELS = {  # surface, start, window, steps
    "Beale's function": (beale, (0.8, 1.6), (-0.5, 4.5, -1.5, 2.5), 300),
    "a saddle": (saddle, (1.0, 1e-3), (-1.2, 1.2, -1.2, 1.2), 300),
    "a long valley": (valley, (-4.0, 1.0), (-4.5, 1.0, -1.2, 1.2), 300),
}


def draw(frame: pd.DataFrame) -> Figure:
    """Above, the paths on contours; below, f against the step."""
    colors = (
        style.BLUE,
        style.GREEN,
        style.PURPLE,
        style.ORANGE,
        style.SKY,
        style.RED,
        style.BLACK,
    )
    with style.canvas(2, len(PANELS), height=2.6) as (figure, rows):
        for (title, (f, start, window, steps)), axes, below in zip(
            PANELS.items(), *rows, strict=True
        ):
            _contours(axes, f, window)
            for (name, optimizer), color in zip(OPTIMIZERS.items(), colors, strict=True):
                x, y = path(optimizer, f, start, steps)
                axes.plot(x, y, color=color, label=name, linewidth=1)
                height = f(torch.from_numpy(x), torch.from_numpy(y)).numpy()
                below.plot(height, color=color, linewidth=1)
            axes.plot(*start, "o", color="0.3", markersize=3)
            axes.set_xlim(window[:2])
            axes.set_ylim(window[2:])
            axes.set_title(title)
            axes.set_xlabel("$x$")
            axes.set_ylabel("$y$")
            below.set_xlabel("step")
            below.set_ylabel("$f$")
            below.set_xlim(0, steps)
            if f is saddle:
                below.set_ylim(-1.5, 1.05)
            else:
                below.set_yscale("log")
                below.set_ylim(bottom=1e-6)
        rows[0, 0].plot(3, 0.5, "*", color="0.3", markersize=6)
        lines = rows[0, 0].get_legend_handles_labels()
        figure.legend(*lines, loc="outside upper center", ncols=len(OPTIMIZERS))
        return figure


def path(
    optimizer: Optimizer, f: Surface, start: tuple[float, float], steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """x and y [steps + 1] of an optimizer that descends f."""
    W = torch.tensor(start, dtype=torch.float64).view(1, 1, 2)
    state, places = optimizer.initial_state(W), [W.flatten().clone()]
    numbers = {name: getattr(optimizer, name) for name in scalars(type(optimizer))}
    for t in range(1, steps + 1):
        at = W.clone().requires_grad_()
        with torch.enable_grad():
            [g] = torch.autograd.grad(f(*at.flatten()), at)
        optimizer.update_(W, g, state, optimizer.at_step(t, SimpleNamespace(**numbers)))
        places.append(W.flatten().clone())
    x, y = torch.stack(places, 1).numpy()
    return x, y


def _contours(axes: Axes, f: Surface, window: tuple[float, float, float, float]) -> None:
    x, y = (torch.linspace(*ends, 200, dtype=torch.float64) for ends in (window[:2], window[2:]))
    x, y = torch.meshgrid(x, y, indexing="xy")
    height = f(x, y).numpy()
    levels = np.geomspace(1e-2, height.max(), 18) if height.min() >= 0 else 15
    axes.contour(x, y, height, levels, colors="0.8", linewidths=0.5, zorder=0)
