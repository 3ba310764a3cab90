"""Test error in % on MNIST of rules on the networks of their own papers, beside the papers'.

L: T. Lillicrap, D. Cownden, D. Tweed, C. Akerman, "Random synaptic feedback weights support error
backpropagation for deep learning", 2016. Batches of 10 instead of single examples; learning rates
from conf/tuned, since the initial weights' and feedback's scales, searched by hand, are not known.
N: A. Nøkland, "Direct feedback alignment provides learning in deep neural networks", 2016,
arXiv:1609.01596, table 1; 40 epochs instead of 300. Its other networks: table_nokland.
A: M. Akrout, C. Wilson, P. Humphreys, T. Lillicrap, D. Tweed, "Deep learning without weight
transport", 2019, arXiv:1904.05391, logs of the authors' code: one seed, after 400 epochs (after the
100 that we train, 1.75, 3.66, 2.03 and 1.72). Its biases learn 128 times more slowly.
F: C. Frenkel, M. Lefebvre, D. Bol, "Learning without feedback", 2021, arXiv:1909.01311; DRTP's
error is quoted from memory. Learning rates from conf/tuned: the code's hidden layers, whose signals
it sums over a batch, learn faster than its output layer.
S: A. Sanfiz, M. Akrout, "Benchmarking the accuracy and robustness of feedback alignment
algorithms", 2021, arXiv:2108.13446: the best epoch on the very images that are reported. Ours: the
last of 10 epochs, learning rates from conf/tuned (theirs are not published); their convolutions pad
the first layer only.
"""

import pandas as pd

from fabench.statistics import summarize

EXPERIMENTS = (
    "table_published_lillicrap",
    "table_published_nokland",
    "table_published_akrout",
    "table_published_frenkel",
    "table_published_sanfiz",
)
ON_REQUEST = True  # 2,190 network epochs

# By hidden layers and activation: the paper, and its error of each rule.
PAPERS: dict[tuple[str, str], tuple[str, dict[str, float]]] = {
    ("1000", "sigmoid"): ("L", {"bp": 2.4, "fa": 2.1}),
    ("800-800", "relu"): ("N", {"bp": 1.48, "fa": 1.74, "dfa": 1.70}),
    ("500", "sigmoid"): (
        "A",
        {"bp": 1.50, "fa": 2.20, "weight_mirror": 1.51, "kolen_pollack": 1.55},
    ),
    ("500", "tanh"): ("F", {"drtp": 4.6}),
    ("120-84", "relu"): (
        "S",
        {"bp": 0.91, "fa": 1.70, "dfa": 1.61, "usf": 0.94, "brsf": 0.91, "frsf": 0.97},
    ),
}


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per run: its test error after the last epoch, over seeds, beside the paper's."""
    rows = []
    for _, run in frame.groupby("folder", sort=False):
        last = run[run.epoch == run.epoch.max()]
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
                "published": published.get(setting.learning_rule),
            }
        )
    return pd.DataFrame(rows)
