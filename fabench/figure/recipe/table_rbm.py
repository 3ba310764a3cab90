"""Test error in % of classification RBMs on MNIST, by objective, beside Larochelle and Bengio's.

H. Larochelle, Y. Bengio, "Classification using discriminative restricted Boltzmann machines",
ICML 2008. Its machines: generative, 6000 hidden units, learning rate 0.005; discriminative, 500,
0.05; hybrid, 1500, 0.05, alpha 0.01; one example a step, 50,000 of them, until the error on 10,000
others has not fallen for 15 epochs.

Differences from the paper:
1. 500 hidden units each, few epochs in batches of 50, all 60,000 examples, no early stopping.
2. The discriminative rate was chosen on validation data, and is the hybrid one, too; the generative
   one is the paper's times the batch's size. The paper's own,
   of the hybrid machine: model.hidden=[1500] optimizer.lr=0.05 trainer.batch_size=1.
"""

import pandas as pd

from fabench.figure.data import at_the_end
from fabench.figure.table import of_images
from fabench.run.statistics import summarize

EXPERIMENTS = ("table_rbm_generative", "table_rbm_discriminative", "table_rbm_hybrid")
ON_REQUEST = True  # 105 network epochs

PUBLISHED = {"generative": 3.39, "discriminative": 1.81, "hybrid": 1.28}


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per objective: errors after its last epoch, and the test error's difference to the
    discriminative machine's, paired over seeds (same data in the same order)."""
    last = at_the_end(frame)
    runs = {name: rows.set_index("seed") for name, rows in last.groupby("objective")}
    errors = {name: 100 * (1 - run.test_accuracy) for name, run in runs.items()}
    rows = []
    for name, published in PUBLISHED.items():
        run, error = runs[name], summarize(errors[name].tolist())
        difference = errors[name] - errors["discriminative"]
        paired = summarize([] if name == "discriminative" else difference.tolist())
        rows.append(
            {
                "objective": name,
                "hidden": run.hidden.iloc[0],
                "lr": run.lr.iloc[0],
                "batch_size": run.batch_size.iloc[0],
                "epochs": run.epoch.iloc[0],
                "seeds": error.n,
                "train_error_mean": 100 * (1 - run.train_accuracy.mean()),
                **error.columns("test_error"),
                **of_images("test_error", run),
                "published": published,
                **paired.columns("difference_to_discriminative", sd=False),
            }
        )
    return pd.DataFrame(rows)
