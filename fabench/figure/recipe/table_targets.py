"""Test error in % of rules that aim at targets or predict gradients, MNIST and Fashion-MNIST.

One network for all, 784-5x256-10 with tanh units, Adam, 5 epochs, three seeds; the papers train it
longer: ``trainer.epochs=100`` does, too. conf/tuned/table_targets* has every rule's settings: those
of Meulemans' code, or what Optuna chose in two epochs on MNIST's validation data, with the command
(8 trials, seeds from 100 on; Fashion-MNIST takes them over).

M: A. Meulemans, F. Carzaniga, J. Suykens, J. Sacramento, B. Grewe, "A theoretical framework for
target propagation", 2020, arXiv:2006.14331: 100 epochs, the epoch that is best on validation data,
ten seeds. Its feedback learns in epochs of its own before and between the others.
B: S. Bartunov et al., "Assessing the scalability of biologically-motivated deep learning algorithms
and architectures", 2018, arXiv:1807.04587: the best of 500 epochs on the images that are reported,
60 random settings; weights and inverses learn in turns ("alt").
C: the same network with SGD, 100 epochs, five seeds, as the code of C.-H. Kao, B. Hariharan,
"Counter-current learning", 2024, arXiv:2409.19841, compares rules.
"""

import numpy as np
import pandas as pd

from fabench.figure.data import endings
from fabench.figure.table import errors_beside_bp

EXPERIMENTS = (
    "table_targets",
    "table_targets_difference",
    "table_targets_local_difference",
    "table_targets_fixed",
    "table_targets_lra",
)
ON_REQUEST = True  # 360 network epochs

DTP = "difference_target_propagation"
VARIANTS = {
    ("difference", 1): f"{DTP} (DRL)",
    ("local_difference", 1): f"{DTP} (L-DRL)",
    ("reconstruction", 0): f"{DTP} (fixed)",
}
"""By the inverses' loss and steps."""

MEULEMANS = {
    ("mnist", "bp"): 1.98, ("mnist", "dfa"): 2.17, ("mnist", DTP): 2.39,
    ("mnist", f"{DTP} (DRL)"): 2.21, ("mnist", "direct_difference_target_propagation"): 2.04,
    ("fashion_mnist", "bp"): 10.74, ("fashion_mnist", DTP): 13.66,
    ("fashion_mnist", f"{DTP} (DRL)"): 11.22,
    ("fashion_mnist", "direct_difference_target_propagation"): 11.11,
}  # fmt: skip
BARTUNOV = {
    ("mnist", "bp"): 1.48, ("mnist", "fa"): 1.85, ("mnist", "dfa"): 2.75, ("mnist", DTP): 1.83,
    ("mnist", "simplified_difference_target_propagation"): 2.28,
}  # fmt: skip
COMMON = {
    ("mnist", "bp"): 1.81, ("mnist", "fa"): 3.04, ("mnist", "dfa"): 2.73,
    ("mnist", f"{DTP} (DRL)"): 6.95, ("mnist", f"{DTP} (L-DRL)"): 6.71,
    ("fashion_mnist", "bp"): 10.42, ("fashion_mnist", "fa"): 12.62, ("fashion_mnist", "dfa"): 12.65,
    ("fashion_mnist", f"{DTP} (DRL)"): 16.60, ("fashion_mnist", f"{DTP} (L-DRL)"): 16.40,
}  # fmt: skip


def data(frame: pd.DataFrame) -> pd.DataFrame:
    """What each network ends with."""
    settings = ("dataset", "learning_rule", "inverse_loss", "feedback_steps", "lr")
    return endings(frame, *settings, "update_alignment")


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset and rule: its test error beside BP's, the alignment of the update,
    published errors."""
    named = frame.assign(learning_rule=frame.apply(_rule, axis=1))
    rows = []
    for key, run, errors in errors_beside_bp(named):
        rows.append(
            {
                "dataset": key[0],
                "learning_rule": key[1],
                "epochs": run.epoch.iloc[0],
                "lr": run.lr.iloc[0],
                **errors,
                "update_alignment_mean": run.update_alignment.mean(),
                "published_M": MEULEMANS.get(key, np.nan),
                "published_B": BARTUNOV.get(key, np.nan),
                "published_C": COMMON.get(key, np.nan),
            }
        )
    return pd.DataFrame(rows)


def _rule(row: pd.Series) -> str:
    """The rule's name, of DTP with the variant."""
    name = str(row.learning_rule)
    if name != DTP:
        return name
    return VARIANTS.get((row.inverse_loss, row.feedback_steps), name)
