"""Test error in % of BP, FA and DFA on the MNIST networks of the DFA paper, beside the paper's.

Its setting: ten sigmoids with cross-entropy, RMSprop, batches of 64, pixels in [0, 1], zeros as
initial weights of FA and DFA with tanh and logistic units, B_l ~ U(±1/sqrt(n_l)). The paper sums
gradients over a batch and RMSprop divides by their size: with means instead, and epsilon / 64, the
steps are the same. Differences: 10 epochs instead of 300 (``trainer.epochs=300``).
"""

import json
from math import ceil

import pandas as pd

from fabench.run.statistics import summarize

EXPERIMENTS = (
    "table_nokland",
    "table_nokland_zeros",
    "table_nokland_relu",
    "table_nokland_adversarial",
    "table_nokland_adversarial_zeros",
)
ON_REQUEST = True  # 900 network epochs, some of 100 layers

RULES = ("bp", "fa", "dfa")
# A. Nøkland, "Direct feedback alignment provides learning in deep neural networks", 2016,
# arXiv:1609.01596, table 1: the three rules' errors; training errors that are not zero in brackets.
PAPER = {
    "7x240 tanh": ("2.16 ± 0.13", "2.20 ± 0.13 (0.02)", "2.32 ± 0.15 (0.03)"),
    "100x240 tanh": ("", "", "3.92 ± 0.09 (0.12)"),
    "1x800 tanh": ("1.59 ± 0.04", "1.68 ± 0.05", "1.68 ± 0.05"),
    "2x800 tanh": ("1.60 ± 0.06", "1.64 ± 0.03", "1.74 ± 0.08"),
    "3x800 tanh": ("1.75 ± 0.05", "1.66 ± 0.09", "1.70 ± 0.04"),
    "4x800 tanh": ("1.92 ± 0.11", "1.70 ± 0.04", "1.83 ± 0.07 (0.02)"),
    "2x800 sigmoid": ("1.67 ± 0.03", "1.82 ± 0.10", "1.75 ± 0.04"),
    "2x800 relu": ("1.48 ± 0.06", "1.74 ± 0.10", "1.70 ± 0.06"),
    "2x800 tanh, dropout": ("1.26 ± 0.03 (0.18)", "1.53 ± 0.03 (0.18)", "1.45 ± 0.07 (0.24)"),
    "2x800 tanh, adversarial": ("1.01 ± 0.08", "1.14 ± 0.03", "1.02 ± 0.05 (0.12)"),
    "1x1000 tanh": ("45.1", "46.4", "46.4"),  # of CIFAR-10, like the next; both at second hand
    "3x1000 tanh": ("45.1", "47.0", "47.4"),
}


def data(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the columns of single layers, hundreds of them."""
    return frame.filter(regex=r"(?<!_\d)(?<!_\d\d)(?<!_\d\d\d)$")


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per network and number of epochs, a quarter, half and all of them: mean and sd over
    seeds of every rule's test error in %, beside the paper's after 300 epochs."""
    rows = []
    for network, runs in frame.groupby(frame.apply(_network, axis=1), sort=False):
        last = int(runs.epoch.max())
        for epochs in sorted({ceil(last / 4), ceil(last / 2), last}):
            row = {"network": network, "epochs": epochs, "seeds": runs.seed.nunique()}
            for rule, paper in zip(RULES, PAPER.get(network, ("", "", "")), strict=True):
                at = runs[(runs.learning_rule == rule) & (runs.epoch == epochs)]
                error = summarize((100 * (1 - at.test_accuracy)).tolist())
                row |= {rule: error.mean, f"{rule}_sd": error.sd, f"{rule}_paper": paper}
            rows.append(row)
    return pd.DataFrame(rows)


def _network(row: pd.Series) -> str:
    """As PAPER names it."""
    widths = json.loads(row.hidden)
    name = f"{len(widths)}x{widths[0]} {row.activation}"
    name += ", dropout" if row.hidden_dropout else ""
    return name + (", adversarial" if row.adversarial else "")
