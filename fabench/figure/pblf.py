"""PBLF beside backpropagation: what figures 6.1 to 6.4 and tables 6.2 and B.1 share.

R. H. Eyono, "Learning to backpropagate", 2020, chapter 6 and appendix B: PBLF
(``learning_rule=pblf``), whose numbers a Gaussian process or random search has found on validation
data, and backpropagation, for few and for many epochs, five trials each, tested, and trained on to
convergence. ``scale=cpu`` and ``scale=gpu`` are two sizes of the same; the searches' commands stand
in conf/experiment.

Differences from the paper:
1. Optimizer, schedule and batch size are not said there: here Nesterov's momentum, 0.9, along a
   cosine. The rate is that which is best for backpropagation in two epochs; of scale=gpu, with
   decay and batch size, that of Backprop Evolution (Alber et al. 2018), as far as it is known.
2. scale=cpu has a multilayer perceptron on Fashion-MNIST, whose four hidden layers are the sites,
   for 4, 12 and 30 epochs instead of 20, 100 and 600; a search has 24 points, of which a Gaussian
   process draws 8 at first, instead of 120 (20) and, at random, 100. The epochs were 1, 4 and 12 at
   first, and grew when the curve of one epoch, tested, had two points.
3. Mode 0000, which is backpropagation, is not searched.
4. A search trains each point once (seed 100); a trial is another seed, 0 to 4, on all training
   data, so that the curve beside the test accuracy is that of training, not of validation. Test
   pixels are scaled like the others, which the paper's are not.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fabench.figure import style
from fabench.figure.curves import band, epoch_axis
from fabench.schema import UserError

METHODS = {"gaussian_process": "PBLF-BO", "random": "PBLF-RS", "bp": "BP"}
"""The paper's names: Bayesian optimization, random search, backpropagation."""

COLORS = {"gaussian_process": style.RED, "random": style.GREEN, "bp": style.BLUE}

NUMBERS = ("w1", "b1", "w2", "b2")

SEARCH = "_(gaussian_process|random)$"
"""What ends the name of an experiment whose numbers were searched."""


def experiments(figure: str) -> tuple[str, ...]:
    """A figure's three experiments."""
    return tuple(figure if method == "bp" else f"{figure}_{method}" for method in METHODS)


def last_epochs(frame: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """For each figure's experiments and number of epochs, the last epoch of all methods."""
    last = frame[frame.epoch == frame.epochs]
    figures = last.experiment.str.replace(SEARCH, "", regex=True)
    for _, trained in last.groupby([figures, "epochs"]):
        yield int(trained.epochs.iloc[0]), trained


def by_method(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each method's rows of one figure's experiments. Raises UserError if two have the same runs,
    as where no search has found PBLF's numbers."""
    found = frame.experiment.str.extract(SEARCH)[0].fillna("bp")
    if set(found) < set(METHODS):
        figure = re.sub(SEARCH, "", frame.experiment.iloc[0])
        raise UserError(
            f"PBLF has no numbers of its own for {frame.dataset.iloc[0]}: "
            f"conf/experiment/{figure}_random.yaml says how they are searched."
        )
    return {method: frame[found == method] for method in METHODS}


def accuracies(frame: pd.DataFrame) -> Figure:
    """Figures 6.1 and 6.2: a panel for each method, test and training accuracy, and all three."""
    with style.canvas(2, 2, height=2.0) as (figure, panels):
        *own, last = panels.flat
        for axes, (method, rows) in zip(own, by_method(frame).items(), strict=True):
            color, name = COLORS[method], METHODS[method]
            band(axes, rows, "test_accuracy", color, "test")
            band(axes, rows, "train_accuracy", "0.5", "training", "--")
            axes.set_title(name)
            beside(last, rows, method)
        last.set_title("all three, test")
        for axes in panels.flat:
            epoch_axis(axes, int(frame.epoch.max()))
            axes.set_ylim(*ends(frame))
            axes.legend(loc="lower right")
        for axes in panels[:, 0]:
            axes.set_ylabel("accuracy")
        return figure


def ends(frame: pd.DataFrame) -> tuple[float, float]:
    """Of an axis of accuracies: from the lowest after the first epoch to the highest."""
    test, training = (frame[frame.epoch > 0][f"{of}_accuracy"] for of in ("test", "train"))
    return float(np.floor(20 * test.min()) / 20), float(max(test.max(), training.max()) + 0.01)


def beside(axes: Axes, rows: pd.DataFrame, method: str) -> None:
    """A method's test accuracy, labelled with that of the last epoch."""
    last = rows.test_accuracy[rows.epoch == rows.epoch.max()].mean()
    label = f"{METHODS[method]}, {100 * last:.2f} %"
    band(axes, rows, "test_accuracy", COLORS[method], label)


def mode(number: float) -> str:
    """PBLF's mode as four bits."""
    return f"{int(number):04b}"


def candidates(frame: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """All points that a search has tried: its table. Raises UserError if there is none."""
    folder = Path(frame.attrs["output_dir"]) / "tune" / experiment
    found = sorted(folder.glob(f"{frame.dataset.iloc[0]}_*_pblf_*/tune.csv"))
    if not found:
        raise UserError(
            f"{folder} has no table of {frame.dataset.iloc[0]}: the head of "
            f"conf/experiment/{experiment}.yaml says how it is searched."
        )
    table = pd.read_csv(found[0])
    return table.rename(columns={f"learning_rule.{name}": name for name in (*NUMBERS, "mode")})


def coordinates(table: pd.DataFrame) -> NDArray[np.float64]:
    """Points [n, 8] as the search sees them: numbers, from (-1, 1) to (0, 1), and bits."""
    bits = [[float(bit) for bit in mode(number)] for number in table["mode"]]
    return np.hstack([(table[[*NUMBERS]].to_numpy() + 1) / 2, bits])
