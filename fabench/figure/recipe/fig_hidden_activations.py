"""t-SNE of the hidden layers of networks trained with BP and DFA, by class (DFA paper).

A. Nøkland, "Direct feedback alignment provides learning in deep neural networks", 2016,
arXiv:1609.01596. The networks are those of ``fig_frozen_first_layer`` with all layers trained, the
examples 2,500 of the test set. Because a picture, of seed 0's network, alone proves nothing, the
accuracy of ten nearest neighbours among the activations stands over it, with that of untrained
networks: means over all seeds.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fabench.figure import style
from fabench.figure.embedding import PROBES, Array, embed, probed, scatter
from fabench.population.examples import Examples
from fabench.population.population import Population
from fabench.run.statistics import summarize
from fabench.run.store import RunFolder
from fabench.run.trainer import data_of, population_of, trained

EXPERIMENTS = ("fig_frozen_first_layer",)
ON_REQUEST = True  # those of fig_frozen_first_layer
FROM_RUNS = "weights"

EXAMPLES = 2500
RULES = ("bp", "dfa")


def draw(frame: pd.DataFrame) -> Figure:
    """A row per rule, a column per hidden layer."""
    frame = frame[frame.frozen_layers == "[]"]
    found = {
        rule: hidden_layers(Path(frame.folder[frame.learning_rule == rule].iloc[0]))
        for rule in RULES
    }
    depth = len(found["bp"][0][0])
    with style.canvas(len(RULES), depth, height=3.0) as (figure, panels):
        for row, (rule, by_seed) in zip(panels, found.items(), strict=True):
            for layer, axes in enumerate(row):
                after, before = (
                    summarize([100 * probed(PROBES[0], of[when][layer], of[2]) for of in by_seed])
                    for when in (0, 1)
                )
                learned, _, labels = by_seed[0]
                dots = scatter(axes, embed(learned[layer]), labels, "tab10")
                axes.set_title(
                    f"{rule.upper()}, layer {layer + 1}, t-SNE; {PROBES[0]} finds\n"
                    f"the class in {after:.1f} % (untrained: {before:.1f} %)",
                    fontsize=8,
                )
        figure.colorbar(dots, ax=panels[:, -1], ticks=range(labels.max() + 1), label="class")
        return figure


def hidden_layers(folder: Path) -> list[tuple[list[Array], list[Array], NDArray[Any]]]:
    """Of each seed of a run: activations [N, U] of every hidden layer for N test examples, in the
    trained network and in the same network untrained; the examples' classes [N]."""
    run = RunFolder.at(folder)
    population = trained(run)
    untrained = population_of(run.config, population.rows, population.device)
    data, seeds, task = data_of(run.config), run.config.seeds, run.config.task
    examples = Examples(data, task, seeds, population.device, population.operand)
    x, y = next(examples.batches(examples.epoch("test", 0, EXAMPLES), EXAMPLES))
    after, before = (_activations(p, x) for p in (population, untrained))
    stream = population.part(slice(None)).streams
    return list(zip(after, before, y[stream].argmax(-1).cpu().numpy(), strict=True))


def _activations(population: Population, x: Any) -> list[list[Array]]:
    """By row and hidden layer."""
    part = population.part(slice(None))
    layers = [np.asarray(f.flatten(2).float().cpu()) for f in part.forward(x[part.streams]).f]
    return [list(row) for row in zip(*layers, strict=True)]
