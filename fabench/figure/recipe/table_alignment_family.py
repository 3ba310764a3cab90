"""Test error in % of feedback alignment and its relatives on MNIST and Fashion-MNIST.

One network for all, 784-256-256-10 with ReLUs and biases, 20 epochs of SGD. Each rule's learning
rate, of three values a factor of three apart (DRTP's of five), was chosen by one seed on validation
data, in ten of the 20 epochs (conf/tuned/table_alignment_family). DRTP is made for units that
saturate, which ReLUs do not. Published errors are of other networks and longer training: 784-500-10
logistic (M. Akrout, C. Wilson, P. Humphreys, T. Lillicrap, D. Tweed, "Deep learning without weight
transport", 2019, arXiv:1904.05391, their code's logs) and LeNet (A. Sanfiz, M. Akrout,
"Benchmarking the accuracy and robustness of feedback alignment algorithms", 2021, arXiv:2108.13446,
selected and tested on the same 10,000 images).
"""

import numpy as np
import pandas as pd

from fabench.figure.data import at_the_end
from fabench.figure.table import errors_beside_bp

EXPERIMENTS = ("table_alignment_family",)
ON_REQUEST = True  # 1,560 network epochs

MLP = {("mnist", "bp"): 1.50, ("mnist", "fa"): 2.20, ("mnist", "weight_mirror"): 1.51,
       ("mnist", "kolen_pollack"): 1.55}  # fmt: skip
LENET = {
    (dataset, rule): error
    for dataset, errors in {
        "mnist": (0.91, 1.70, 1.61, 0.94, 0.91, 0.97),
        "fashion_mnist": (9.20, 13.06, 12.81, 9.69, 10.02, 9.61),
    }.items()
    for rule, error in zip(("bp", "fa", "dfa", "usf", "brsf", "frsf"), errors, strict=True)
}

data = at_the_end


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset and rule: its test error beside BP's, alignments, published errors."""
    rows = []
    for key, run, errors in errors_beside_bp(frame):
        rows.append(
            {
                "dataset": key[0],
                "learning_rule": key[1],
                "lr": run.lr.iloc[0],
                **errors,
                "gradient_alignment_mean": run.gradient_alignment.mean(),
                "published_mlp": MLP.get(key, np.nan),
                "published_lenet": LENET.get(key, np.nan),
            }
        )
    return pd.DataFrame(rows)
