"""Every learning rule on MNIST and Fashion-MNIST: test error, cost, and what the rule needs.

One network for all, 784-256-256-10 with tanh units, 3 epochs of Adam in batches of 128, five seeds
(those that settle or take many passes a batch: three, on MNIST alone); a classification RBM has
one hidden layer of sigmoid units. The learning rate and every number of the rule's own were chosen
by Optuna on MNIST, in one epoch of three other seeds, on validation data, 12 trials each (6 on
15,000 or 8,000 images where a rule is slow): conf/tuned/table_all_rules* has them, each with its
command; Fashion-MNIST takes them over. In a batch evolution tries 5 pairs of networks, the genetic
algorithm 20 networks, weight search 10 weights. So few epochs and trials favour rules that learn
fast, and whose defaults suit the network. PBLF begins as BP, so its b2 alone is searched.
Recirculation, which learns no labels, is left out, as is a formula, which is BP until another is
given.

Differences to BP are paired over seeds (same data, same first weights where a rule has such); p
values of Student's paired test carry Holm's correction for all rules of a dataset.
"""

import math
from pathlib import Path

import pandas as pd

from fabench.figure.table import errors_beside_bp
from fabench.run.store import RunFolder

EXPERIMENTS = (
    "table_all_rules",
    "table_all_rules_settling",
    "table_all_rules_search",
    "table_all_rules_genetic",
    "table_all_rules_rbm",
)
ON_REQUEST = True  # 993 network epochs

ERROR, TARGET, LABEL, NOTHING = "error", "targets", "label", "nothing"
NEEDS = {
    "bp": (ERROR, True), "fa": (ERROR, True), "usf": (ERROR, True), "frsf": (ERROR, True),
    "brsf": (ERROR, True), "kolen_pollack": (ERROR, True), "weight_mirror": (ERROR, True),
    "product_feedback": (ERROR, True), "dfa": (ERROR, False), "ifa": (ERROR, False),
    "dkp": (ERROR, False), "fdfa": (ERROR, False), "drtp": (LABEL, False), "pepita": (ERROR, False),
    "target_propagation": (TARGET, True), "difference_target_propagation": (TARGET, True),
    "simplified_difference_target_propagation": (TARGET, True),
    "direct_difference_target_propagation": (TARGET, False),
    "local_representation_alignment": (TARGET, True), "synthetic_gradients": (ERROR, False),
    "contrastive_hebbian": (LABEL, False), "generec": (LABEL, False),
    "equilibrium_propagation": (LABEL, False), "predictive_coding": (LABEL, False),
    "contrastive_divergence": (LABEL, False), "forward_forward": (LABEL, False),
    "forward_gradient": (ERROR, False), "evolution_strategy": ("loss", False),
    "local_search": ("loss", False), "weight_search": ("loss", False),
    "genetic_algorithm": ("loss", False), "shallow": (NOTHING, False), "ntk": (ERROR, True),
    "relu_features": (NOTHING, False), "gaussian_features": (NOTHING, False),
    "linear_features": (NOTHING, False), "fourier_features": (NOTHING, False),
    "pblf": (ERROR, True),
}  # fmt: skip
"""What a hidden layer learns from, and whether a pass goes backward through all layers."""


def data(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last epoch, with the numbers that a rule keeps of its own."""
    last = frame[frame.epoch == frame.epoch.max()]
    return last.assign(own_parameters=last.folder.map(own_parameters))


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset and rule, the least error first."""
    rows = [
        {
            "dataset": dataset,
            "learning_rule": rule,
            **columns,
            "update_alignment_mean": run.update_alignment.mean(),
            "seconds_per_epoch": run.seconds.mean() / len(run),
            "learns_from": NEEDS[rule][0],
            "backward_pass": "yes" if NEEDS[rule][1] else "no",
            "own_parameters": run.own_parameters.iloc[0],
        }
        for (dataset, rule), run, columns in errors_beside_bp(frame)
    ]
    tables = [t for _, t in pd.DataFrame(rows).groupby("dataset", sort=False)]
    return pd.concat([t.sort_values("test_error_mean") for t in tables], ignore_index=True)


def own_parameters(folder: str) -> int:
    """How many numbers a run's rule keeps beside the network's weights and biases."""
    config = RunFolder.at(Path(folder)).config
    table = config.learning_rule.parameters(config.layers(), config.init_of_B)
    return sum(math.prod(parameter.shape) for parameter in table.values())
