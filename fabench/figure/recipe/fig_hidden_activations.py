"""t-SNE of the hidden layers of networks trained with BP and DFA, by class (DFA paper).

A. Nøkland, "Direct feedback alignment provides learning in deep neural networks", 2016,
arXiv:1609.01596. The networks are those of ``fig_frozen_first_layer`` with all layers trained, the
examples 2,500 of the test set. Because a picture alone proves nothing, k-nearest-neighbour
accuracies of the activations stand over it, with those of the untrained network.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fabench.figure import style
from fabench.figure.embedding import NEIGHBOURS, Array, embed, neighbour_accuracy, scatter
from fabench.population.examples import Examples
from fabench.population.population import Population
from fabench.run.store import RunFolder
from fabench.run.trainer import data_of, population_of, trained

EXPERIMENTS = ("fig_frozen_first_layer",)
INTERVAL = ""
ON_REQUEST = True  # those of fig_frozen_first_layer
FROM_RUNS = "weights"

EXAMPLES = 2500
RULES = ("bp", "dfa")


def draw(frame: pd.DataFrame) -> Figure:
    """A row per rule, a column per hidden layer, of the first seed."""
    frame = frame[frame.frozen_layers == "[]"]
    found = {
        rule: hidden_layers(Path(frame.folder[frame.learning_rule == rule].iloc[0]))
        for rule in RULES
    }
    depth = len(found["bp"][0])
    with style.canvas(len(RULES), depth, height=3.0) as (figure, panels):
        for row, (rule, (learned, drawn, labels)) in zip(panels, found.items(), strict=True):
            for layer, axes in enumerate(row):
                after, before = (
                    neighbour_accuracy(layers[layer], labels) for layers in (learned, drawn)
                )
                dots = scatter(axes, embed(learned[layer]), labels, "tab10")
                axes.set_title(
                    f"{rule.upper()}, layer {layer + 1}: {NEIGHBOURS}-NN {after:.1%}\n"
                    f"(untrained network: {before:.1%})"
                )
        figure.colorbar(dots, ax=panels[:, -1], ticks=range(labels.max() + 1), label="class")
        return figure


def hidden_layers(folder: Path) -> tuple[list[Array], list[Array], NDArray[Any]]:
    """Activations [N, U] of every hidden layer for N test examples, in the trained network of a
    run's first seed and in the same network untrained; the examples' classes [N]."""
    run = RunFolder.at(folder)
    population = trained(run)
    untrained = population_of(run.config, population.rows, population.device)
    data, seeds, task = data_of(run.config), run.config.seeds, run.config.task
    examples = Examples(data, task, seeds, population.device, population.operand)
    x, y = next(examples.batches(examples.epoch("test", 0, EXAMPLES), EXAMPLES))
    after, before = (_activations(p, x) for p in (population, untrained))
    return after, before, y[0].argmax(-1).cpu().numpy()


def _activations(population: Population, x: Any) -> list[Array]:
    part = population.part(slice(None))
    passed = part.forward(x[part.streams])
    return [np.asarray(f[0].flatten(1).float().cpu()) for f in passed.f]
