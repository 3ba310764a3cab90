"""What doing without gradients costs: accuracy against examples that passed forward, MNIST.

One small network, 196-32-10 (images averaged to 14 x 14), ReLU units. An example counts each time
that a network, or a copy of it, computes its outputs for it: once a step with backpropagation
(whose backward pass does not count), twice with a forward gradient (the output, and its slope along
the direction), once for every individual of a generation or a pair, twice for every weight that is
tried, and once for a weight search's batch. Learning rates: conf/tuned, chosen on validation data
with seeds from 100 on.

Published, of larger networks: a weight search, 98 % after five passes over the weights and 99.1 %
in the end (R. Tripathi, B. Singh, 2020, arXiv:2005.05955); an evolution strategy, 99 % (X. Zhang,
J. Clune, K. O. Stanley, 2017, arXiv:1712.06564); a genetic algorithm, 97.6 % (J. Prellberg,
O. Kramer, 2018, arXiv:1806.09819); local search, 96 % in its log, of an unstated set (A. Aly,
G. Guadagni, J. B. Dugan, 2019).
"""

import pandas as pd
from matplotlib.figure import Figure

from fabench.dataset.mnist import Mnist
from fabench.figure import style
from fabench.figure.curves import band

EXPERIMENTS = (
    "fig_gradient_free",
    "fig_gradient_free_weights",
    "fig_gradient_free_activities",
    "fig_gradient_free_evolution",
    "fig_gradient_free_genetic",
    "fig_gradient_free_local",
    "fig_gradient_free_one_weight",
)
ON_REQUEST = True  # 410 short network epochs, and 15,000 steps of local search

NAMES = {
    "bp": "SGD",
    "forward_gradient activities": "forward gradient, activities",
    "forward_gradient weights": "forward gradient, weights",
    "weight_search": "weight search",
    "evolution_strategy": "evolution strategy",
    "local_search": "local search",
    "genetic_algorithm": "genetic algorithm",
}


def draw(frame: pd.DataFrame) -> Figure:
    """Test accuracy: the mean over seeds and its interval, a line for each rule."""
    frame = frame[frame.epoch > 0]
    an_epoch = frame.train_examples.fillna(Mnist.n_train)
    frame = frame.assign(passed=forward_passes(frame) * an_epoch * frame.epoch)
    which = frame.learning_rule + (" " + frame.perturbed).fillna("")
    with style.canvas(height=2.8) as (figure, [[axes]]):
        figure.set_figwidth(1.5 * style.WIDTH)
        for key, name in NAMES.items():
            rows = frame[which == key]
            rule, dash = key.split()[0], ":" if key.endswith(" weights") else "-"
            last = rows.test_accuracy[rows.epoch == rows.epoch.max()].mean()
            label = f"{name}, {100 * last:.1f} %"
            band(axes, rows, "test_accuracy", style.color(rule), label, dash, x="passed")
        axes.set_xscale("log")
        axes.set_xlabel("examples that passed forward")
        axes.set_ylabel("test accuracy")
        axes.set_ylim(0, 1)
        style.chance_line(axes, 0.1)
        figure.legend(loc="outside right center", title="at the end", title_fontsize=7)
        return figure


def forward_passes(frame: pd.DataFrame) -> pd.Series:
    """Of every row's rule, how often an example passes forward in a step that has it."""
    passes = pd.Series(1.0, index=frame.index)
    for rule, count in (
        ("forward_gradient", lambda rows: 1 + rows.directions),
        ("evolution_strategy", lambda rows: 2 * rows.pairs),
        ("genetic_algorithm", lambda rows: rows.individuals),
        ("weight_search", lambda rows: 1 + 2 * rows.weights),
    ):
        own = frame.learning_rule == rule
        passes[own] = count(frame[own])
    return passes
