"""What a k=3 network's hidden layer says of each digit beside its parity: probes, by seed.

D. Demirbilek's thesis asks, at first, whether networks memorise samples instead of learning digits.
If one digit's representation told its parity and nothing else, the digit would be lost; if it were
that of an untrained network, nothing would have been learned. The representation of a digit in
place p is its part of the hidden layer's input, x_p W_p [512] (appendix B); 2,500 test examples
have 7,500 digits. Two probes, each on folds that it has not seen: ten nearest neighbours, and ridge
regression on the classes (linear).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fabench.dataset.mnist import Mnist
from fabench.figure.embedding import PROBES, Array, probed
from fabench.model.layer.initialization import WEIGHT_INITS
from fabench.randomness import generator
from fabench.run.statistics import holm, paired_p, summarize
from fabench.run.store import RunFolder
from fabench.task.parity import Parity

EXPERIMENTS = ("fig_3_1",)

K, EXAMPLES = 3, 2500
UNTRAINED = "untrained"


def data(frame: pd.DataFrame) -> pd.DataFrame:
    """An accuracy for each network, trained and not, each question and probe."""
    x, digits = samples(RunFolder.at(Path(frame.folder.iloc[0])).config.general.data_dir)
    rows = []
    for rule, seed, folder, W in networks(frame):
        h = represent(x, W)
        for question, classes in {"digit": digits, "parity": digits % 2}.items():
            for probe in PROBES:
                accuracy = probed(probe, h, classes)
                rows.append((rule, seed, question, probe, accuracy, folder))
    columns = ["network", "seed", "question", "probe", "accuracy", "folder"]
    return pd.DataFrame(rows, columns=columns)


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each question, probe and network: accuracy in %, and how much more that is than of
    the same network untrained, paired over seeds, p values with Holm's correction for all."""
    frame = frame.assign(accuracy=100 * frame.accuracy)
    rows: list[dict[str, Any]] = []
    p = []
    for (question, probe), of in frame.groupby(["question", "probe"], sort=False):
        accuracy = of.pivot(index="seed", columns="network", values="accuracy")
        for network in of.network.unique():
            more = (accuracy[network] - accuracy[UNTRAINED]).tolist()
            more = [] if network == UNTRAINED else more
            rows.append(
                {
                    "question": question,
                    "probe": probe,
                    "network": network,
                    "seeds": len(accuracy),
                    **summarize(accuracy[network].tolist()).columns("accuracy"),
                    **summarize(more).columns("more_than_untrained", sd=False),
                }
            )
            p.append(paired_p(more))
    return pd.DataFrame(rows).assign(p_holm=holm(p))


def samples(data_dir: str | None) -> tuple[Array, NDArray[np.uint8]]:
    """Normalised digits by place [3, 2500, 784], and their labels [7500], place after place."""
    images = Mnist(name="mnist").load(data_dir)
    table = Parity(name="parity", k=K).table(generator(0, "test", 0), len(images.test_labels))
    table = table[:EXAMPLES].T
    pixels = images.test_images.numpy()[table].reshape(K, EXAMPLES, -1)
    x = (pixels.astype(np.float32) - images.pixel_mean) / images.pixel_std
    return x.astype(np.float32), images.test_labels.numpy()[table].reshape(-1)


def networks(frame: pd.DataFrame) -> Iterator[tuple[str, int, str, Array]]:
    """Rule, seed, run folder and first weights [2352, 512] of every k=3 network; those untrained,
    with which all rules begin, beside the first rule's."""
    folders = frame[frame.k == K].drop_duplicates("learning_rule").set_index("learning_rule").folder
    for place, (rule, folder) in enumerate(folders.items()):
        run = RunFolder.at(Path(folder))
        draw = WEIGHT_INITS[run.config.model.weight_init]
        weights = run.weights()["tensors"]["W0"]
        for seed, W in zip(run.config.seeds, weights, strict=True):
            if place == 0:
                yield UNTRAINED, seed, folder, draw(generator(seed, "weights 0"), *W.shape)
            yield str(rule), seed, folder, np.asarray(W)


def represent(x: Array, W: Array) -> Array:
    """x_p W_p of every digit [7500, 512], place after place."""
    return np.concatenate([x_p @ W_p for x_p, W_p in zip(x, np.split(W, K), strict=True)])
