"""Test error in % on MNIST of rules on the networks of their own papers, beside the papers'.

Learning rates of A and N are their codes'. The others were chosen on validation data (conf/tuned):
of L's BP and of F by three seeds, of L's FA, with the feedback's scale, by one in ten of the 25
epochs, of S by three that the results do not have, of five values a factor of three apart.

L: T. Lillicrap, D. Cownden, D. Tweed, C. Akerman, "Random synaptic feedback weights support error
backpropagation for deep learning", 2016. Batches of 10 instead of single examples; the scales of
its initial weights and feedback, searched by hand, are not known.
N: A. Nøkland, "Direct feedback alignment provides learning in deep neural networks", 2016,
arXiv:1609.01596, table 1; 40 epochs instead of 300. Its other networks: table_nokland.
A: M. Akrout, C. Wilson, P. Humphreys, T. Lillicrap, D. Tweed, "Deep learning without weight
transport", 2019, arXiv:1904.05391, logs of the authors' code: one seed, after 400 epochs (after the
100 that we train, 1.75, 3.66, 2.03 and 1.72). Its biases learn 128 times more slowly.
F: C. Frenkel, M. Lefebvre, D. Bol, "Learning without feedback", 2021, arXiv:1909.01311; DRTP's
error is quoted from memory. The code's hidden layers, whose signals it sums over a batch, learn
faster than its output layer.
S: A. Sanfiz, M. Akrout, "Benchmarking the accuracy and robustness of feedback alignment
algorithms", 2021, arXiv:2108.13446: the best epoch on the very images that are reported. Ours: the
last of 10 epochs; its learning rates are not published, and its convolutions pad the first layer
only.
"""

import pandas as pd

from fabench.figure.data import at_the_end
from fabench.figure.recipe.table_alignment_family import LENET, MLP
from fabench.figure.table import of_images
from fabench.run.statistics import summarize

EXPERIMENTS = (
    "table_published_lillicrap",
    "table_published_nokland",
    "table_published_akrout",
    "table_published_frenkel",
    "table_published_sanfiz",
)
ON_REQUEST = True  # 2,790 network epochs


def _on_mnist(errors: dict[tuple[str, str], float]) -> dict[str, float]:
    return {rule: error for (dataset, rule), error in errors.items() if dataset == "mnist"}


# By hidden layers and activation: the paper, and its error of each rule.
PAPERS: dict[tuple[str, str], tuple[str, dict[str, float]]] = {
    ("[1000]", "sigmoid"): ("L", {"bp": 2.4, "fa": 2.1}),
    ("[800, 800]", "relu"): ("N", {"bp": 1.48, "fa": 1.74, "dfa": 1.70}),
    ("[500]", "sigmoid"): ("A", _on_mnist(MLP)),
    ("[500]", "tanh"): ("F", {"drtp": 4.6}),
    ("[120, 84]", "relu"): ("S", _on_mnist(LENET)),
}

data = at_the_end


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per run: its test error after the last epoch, over seeds, beside the paper's."""
    rows = []
    for _, last in frame.groupby("folder", sort=False):
        setting = last.iloc[0]
        paper, published = PAPERS.get((setting.hidden, setting.activation), ("", {}))
        error = summarize((100 * (1 - last.test_accuracy)).tolist())
        rows.append(
            {
                "paper": paper,
                "hidden": setting.hidden,
                "activation": setting.activation,
                "learning_rule": setting.learning_rule,
                "optimizer": setting.optimizer,
                "lr": setting.lr,
                "epochs": setting.epoch,
                "seeds": error.n,
                **error.columns("test_error"),
                **of_images("test_error", last),
                "published": published.get(setting.learning_rule),
            }
        )
    return pd.DataFrame(rows)
