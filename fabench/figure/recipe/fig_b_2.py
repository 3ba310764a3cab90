"""t-SNE of single digits inside k=3 networks trained with BP and DFA (thesis figure B.2).

Representations are those of ``table_probes``, seed 0's network. Because a picture alone proves
nothing, the accuracy of ten nearest neighbours in the 512-d representation stands over it, with
that of untrained networks: means over all seeds.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.embedding import PROBES, Array, embed, probed, scatter
from fabench.figure.recipe.table_probes import (
    EXAMPLES,
    EXPERIMENTS,
    UNTRAINED,
    K,
    networks,
    represent,
    samples,
)
from fabench.run.statistics import summarize

__all__ = ["EXPERIMENTS", "FROM_RUNS", "draw"]

SEED = 0
FROM_RUNS = "weights"


def draw(frame: pd.DataFrame) -> Figure:
    """Two embeddings (BP, DFA), coloured by digit above and by parity below."""
    x, digits = samples(frame.attrs["data_dir"])
    colourings = {"digit": (digits, "tab10"), "parity": (digits % 2, "cividis")}
    shown, found = {}, dict[tuple[str, str], list[float]]()
    for rule, seed, _, W in networks(frame):
        h = represent(x, W)
        if seed == SEED and rule != UNTRAINED:
            shown[rule] = embed(h)
        for name, (classes, _) in colourings.items():
            found.setdefault((rule, name), []).append(100 * probed(PROBES[0], h, classes))
    with style.canvas(2, 2, height=3.0) as (figure, panels):
        for column, rule in enumerate(("bp", "dfa")):
            for axes, (name, (classes, cmap)) in zip(
                panels[:, column], colourings.items(), strict=True
            ):
                dots = scatter(axes, shown[rule], classes, cmap)
                _label_places(axes, shown[rule])
                learned, drawn = (summarize(found[of, name]) for of in (rule, UNTRAINED))
                axes.set_title(
                    f"{rule.upper()}, t-SNE; {PROBES[0]} finds the {name}\n"
                    f"in {learned:.1f} % (untrained: {drawn:.1f} %)",
                    fontsize=8,
                )
                if column == 1:
                    ticks = range(classes.max() + 1)
                    figure.colorbar(dots, ax=axes, ticks=ticks, label=name)
        return figure


def _label_places(axes: Axes, points: Array) -> None:
    """The place of its digits outside of each cloud, away from the others."""
    axes.margins(0.2)
    for place, own in enumerate(points.reshape(K, EXAMPLES, 2), 1):
        middle = np.median(own, axis=0)
        outwards = middle - points.mean(axis=0)
        outwards /= np.linalg.norm(outwards)
        reach = ((own - middle) @ outwards).max() + 0.08 * np.ptp(points)
        x, y = middle + reach * outwards
        axes.text(x, y, f"place {place}", ha="center", va="center", fontsize=7)
