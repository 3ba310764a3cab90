"""measure. Oracles: SciPy's intervals, hand-made tables."""

import pandas as pd
import pytest
from scipy import stats

from fabench.figure.measure import by_seed, minus, over_seeds, paired


def test_a_tables_pair_is_read_from_its_row():
    table = pd.DataFrame(
        {"rule": rule, "seeds": 3, "difference_mean": mean, "difference_ci95_low": mean - 5,
         "difference_ci95_high": mean + 5}
        for rule, mean in (("dfa", 10), ("bp", 20))
    )  # fmt: skip
    pair = paired("difference", {"rule": "bp"}).of(table)
    assert (pair.n, pair.mean, pair.low, pair.high) == (3, 20, 15, 25)
    for where in ({"rule": "fa"}, {}):
        with pytest.raises(LookupError):
            paired("difference", where).of(table)


def test_networks_of_a_figures_data_are_paired_by_seed():
    values = {"dfa": [0.6, 0.7, 0.71], "bp": [0.8, 0.84, 0.79]}
    data = pd.DataFrame(
        {"rule": rule, "epoch": epoch, "seed": seed, "accuracy": v + (epoch - 20)}
        for rule, of_seeds in values.items()
        for seed, v in enumerate(of_seeds)
        for epoch in (19, 20)
    ).iloc[::-1]  # in no order of seeds
    one, other = (by_seed("accuracy", {"rule": r, "epoch": 20}, 100) for r in values)
    found = over_seeds(minus(one, other)).of(data)
    scipys = stats.ttest_rel(values["dfa"], values["bp"]).confidence_interval()
    assert (found.low, found.high) == pytest.approx((100 * scipys.low, 100 * scipys.high))
    for where in ({"rule": "fa"}, {"rule": "dfa"}):  # none, and two of a seed
        with pytest.raises(LookupError):
            by_seed("accuracy", where)(data)
    with pytest.raises(LookupError):
        minus(one, by_seed("accuracy", {"rule": "bp", "epoch": 20, "seed": 1}))(data)
