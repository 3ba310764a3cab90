"""table_all_rules. Oracle: the registry, hand-made runs, layer sizes."""

import re

import pandas as pd
import pytest

from fabench.command import cli
from fabench.figure.recipe import table_all_rules
from fabench.run.store import RunFolder


def test_every_rule_is_in_it_and_says_what_it_needs():
    rules = {file.stem for file in (cli.conf_dir() / "learning_rule").glob("*.yaml")}
    assert table_all_rules.NEEDS.keys() == rules - {"recirculation", "formula"}
    files = [f"experiment/{name}.yaml" for name in table_all_rules.EXPERIMENTS]
    words = re.findall(r"\w+", "".join((cli.conf_dir() / file).read_text() for file in files))
    assert table_all_rules.NEEDS.keys() <= set(words)


def test_rules_stand_in_order_beside_bp(make_config, workdir):
    errors = {"dfa": 0.1, "bp": 0.05, "dkp": 0.02}
    rows = []
    for rule, error in errors.items():
        folder = RunFolder(make_config(learning_rule=rule, model__hidden=[4, 5]))
        folder.path.mkdir(parents=True)
        folder.write_config()
        rows += [
            {"dataset": "mnist", "learning_rule": rule, "seed": seed, "epoch": epoch,
             "test_accuracy": 1 - error - 0.001 * seed * (seed + (rule == "bp")),
             "update_alignment": 0.5, "seconds": 30.0, "folder": str(folder.path)}
            for seed in (0, 1, 2)
            for epoch in (0, 1)
        ]  # fmt: skip
    frame = table_all_rules.data(pd.DataFrame(rows))
    table = table_all_rules.tabulate(frame).set_index("learning_rule")
    assert table.index.tolist() == ["dkp", "bp", "dfa"]
    assert table.seconds_per_epoch.tolist() == [10, 10, 10]
    assert table.own_parameters.bp == 0
    assert table.own_parameters.dkp == table.own_parameters.dfa > 0
    assert table.p_holm.isna().tolist() == [False, True, False]
    assert table.test_error_mean.dkp == pytest.approx(2 + 0.1 * 5 / 3)
