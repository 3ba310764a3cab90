"""t-SNE of single digits inside k=3 networks trained with BP and DFA (thesis figure B.2).

The representation of a digit in place p is its part of the hidden layer's input, x_p W_p [512]: the
pixels of that place times the rows of the first weight matrix that belong to it (appendix B). 2,500
test examples give 7,500 digits. Because a picture alone proves nothing, k-nearest-neighbour
accuracies in the 512-d representation stand beside it, with those of an untrained network.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fabench.dataset.mnist import Mnist
from fabench.figure import style
from fabench.figure.embedding import NEIGHBOURS, Array, embed, neighbour_accuracy, scatter
from fabench.model.layer.initialization import WEIGHT_INITS
from fabench.randomness import generator
from fabench.run.store import RunFolder
from fabench.task.parity import Parity

EXPERIMENTS = ("fig_3_1",)
INTERVAL = ""

K, EXAMPLES, SEED = 3, 2500, 0
FROM_RUNS = "weights"


def draw(frame: pd.DataFrame) -> Figure:
    """Two embeddings (BP, DFA), coloured by digit above and by parity below."""
    x, digits = samples(frame.attrs["data_dir"])
    untrained = WEIGHT_INITS["torch_uniform"](generator(SEED, "weights 0"), x.shape[0] * 784, 512)
    colourings = {"digit": (digits, "tab10"), "parity": (digits % 2, "cividis")}
    initial = represent(x, untrained)
    base = {name: neighbour_accuracy(initial, classes) for name, (classes, _) in colourings.items()}
    with style.canvas(2, 2, height=3.0) as (figure, panels):
        for column, rule in enumerate(("bp", "dfa")):
            h = represent(x, first_weights(frame, rule))
            points = embed(h)
            for axes, (name, (classes, cmap)) in zip(
                panels[:, column], colourings.items(), strict=True
            ):
                dots = scatter(axes, points, classes, cmap)
                axes.set_title(
                    f"{rule.upper()}: {NEIGHBOURS}-NN finds the {name} in "
                    f"{neighbour_accuracy(h, classes):.1%}\n"
                    f"(untrained network: {base[name]:.1%})"
                )
                if column == 1:
                    ticks = range(classes.max() + 1)
                    figure.colorbar(dots, ax=axes, ticks=ticks, label=name)
        return figure


def samples(data_dir: str | None) -> tuple[Array, NDArray[np.uint8]]:
    """Normalised digits by place [3, 2500, 784], and their labels [7500], place after place."""
    images = Mnist(name="mnist").load(data_dir)
    table = Parity(name="parity", k=K).table(generator(SEED, "test", 0), len(images.test_labels))
    table = table[:EXAMPLES].T
    pixels = images.test_images.numpy()[table].reshape(K, EXAMPLES, -1)
    x = (pixels.astype(np.float32) - images.pixel_mean) / images.pixel_std
    return x.astype(np.float32), images.test_labels.numpy()[table].reshape(-1)


def first_weights(frame: pd.DataFrame, rule: str) -> Array:
    """The trained first weight matrix [2352, 512] of SEED's network."""
    rows = frame[(frame.learning_rule == rule) & (frame.k == K)]
    run = RunFolder.at(Path(rows.folder.iloc[0]))
    return np.asarray(run.weights()["tensors"]["W0"][run.config.seeds.index(SEED)])


def represent(x: Array, W: Array) -> Array:
    """x_p W_p of every digit [7500, 512], place after place."""
    return np.concatenate([x_p @ W_p for x_p, W_p in zip(x, np.split(W, K), strict=True)])
