"""measure. Oracles: SciPy's intervals, hand-made tables."""

import pandas as pd
import pytest
from scipy import stats

from fabench.figure.measure import by_seed, less, mean, minus, over_seeds, paired
from fabench.run.statistics import summarize


def test_numbers_are_read_from_their_rows():
    values = {"dfa": [60, 70, 71], "bp": [80, 84, 79]}
    table = pd.DataFrame(
        {"rule": rule, "seeds": 3, "difference_mean": 10, "difference_ci95_low": 5,
         "difference_ci95_high": 15, **summarize(v).columns("accuracy")}
        for rule, v in values.items()
    )  # fmt: skip
    one, other = (mean("accuracy", {"rule": rule}) for rule in values)
    assert vars(one.of(table)) == pytest.approx(vars(summarize(values["dfa"])))
    found = less(one, other).of(table)
    scipys = stats.ttest_ind(values["dfa"], values["bp"], equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((scipys.low, scipys.high))
    pair = paired("difference", {"rule": "bp"}).of(table)
    assert (pair.mean, pair.low, pair.high) == pytest.approx((10, 5, 15))
    for where in ({"rule": "fa"}, {}):
        with pytest.raises(LookupError):
            mean("accuracy", where).of(table)


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
