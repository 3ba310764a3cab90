"""table_claims. Oracles: SciPy's intervals, hand-made tables, the committed tables."""

from math import inf, nan
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from fabench.figure.recipe import table_claims
from fabench.figure.recipe.table_claims import (
    CLAIMS,
    by_seed,
    less,
    mean,
    minus,
    over_seeds,
    paired,
    verdict,
)
from fabench.run.statistics import Summary, summarize

OUTPUTS = Path(__file__).parents[3] / "outputs"


@pytest.mark.parametrize(
    ("low", "high", "bounds", "found"),
    [
        (0.1, 0.3, (0, inf), "holds"), (-0.3, -0.1, (0, inf), "does not"),
        (-0.1, 0.3, (0, inf), "open"), (-0.3, -0.1, (-inf, 0), "holds"),
        (0.1, 0.3, (-inf, 0), "does not"), (49, 51, (48, 52), "holds"),
        (47, 51, (48, 52), "open"), (53, 54, (48, 52), "does not"), (nan, nan, (0, inf), "open"),
    ],
)  # fmt: skip
def test_the_verdict_is_where_the_interval_lies(low, high, bounds, found):
    assert verdict(Summary(3, (low + high) / 2, nan, low, high), bounds) == found


def test_numbers_are_read_from_their_rows():
    values = {"dfa": [0.6, 0.7, 0.71], "bp": [0.8, 0.84, 0.79]}
    table = pd.DataFrame(
        {"rule": rule, "seeds": 3, "difference_mean": 0.1, "difference_ci95_low": 0.05,
         "difference_ci95_high": 0.15, **summarize(v).columns("accuracy")}
        for rule, v in values.items()
    )  # fmt: skip
    one, other = (mean("accuracy", {"rule": rule}, 100) for rule in values)
    in_points = [100 * v for v in values["dfa"]]
    assert vars(one(table)) == pytest.approx(vars(summarize(in_points)))
    found = less(one, other)(table)
    scipys = stats.ttest_ind(values["dfa"], values["bp"], equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((100 * scipys.low, 100 * scipys.high))
    pair = paired("difference", {"rule": "bp"}, 100)(table)
    assert (pair.mean, pair.low, pair.high) == pytest.approx((10, 5, 15))
    for where in ({"rule": "fa"}, {}):
        with pytest.raises(LookupError):
            mean("accuracy", where)(table)


def test_networks_of_a_figures_data_are_paired_by_seed():
    values = {"dfa": [0.6, 0.7, 0.71], "bp": [0.8, 0.84, 0.79]}
    data = pd.DataFrame(
        {"rule": rule, "epoch": epoch, "seed": seed, "accuracy": v + (epoch - 20)}
        for rule, of_seeds in values.items()
        for seed, v in enumerate(of_seeds)
        for epoch in (19, 20)
    ).iloc[::-1]  # in no order of seeds
    one, other = (by_seed("accuracy", {"rule": r, "epoch": 20}, 100) for r in values)
    found = over_seeds(minus(one, other))(data)
    scipys = stats.ttest_rel(values["dfa"], values["bp"]).confidence_interval()
    assert (found.low, found.high) == pytest.approx((100 * scipys.low, 100 * scipys.high))
    for where in ({"rule": "fa"}, {"rule": "dfa"}):  # none, and two of a seed
        with pytest.raises(LookupError):
            by_seed("accuracy", where)(data)
    with pytest.raises(LookupError):
        minus(one, by_seed("accuracy", {"rule": "bp", "epoch": 20, "seed": 1}))(data)


def test_a_claim_without_its_table_or_rows_is_not_computed(tmp_path):
    frame = pd.DataFrame()
    frame.attrs["output_dir"] = tmp_path
    assert set(table_claims.tabulate(frame).verdict) == {"not computed"}
    (tmp_path / "data").mkdir()
    kept = pd.read_csv(OUTPUTS / "data/fig_2_1.csv")
    kept[kept.k == 3].to_csv(tmp_path / "data/fig_2_1.csv")
    found = table_claims.tabulate(frame).set_index("claim").verdict
    assert found["DFA is better than lazy methods (NTK) with three digits"] == "holds"
    assert found["ntk learns one digit's parity"] == "not computed"
    assert found["DFA trains 100 layers"] == "not computed"


def test_the_committed_verdicts_are_those_of_the_committed_tables():
    frame = pd.DataFrame()
    frame.attrs["output_dir"] = OUTPUTS
    made = table_claims.tabulate(frame).fillna({"source": ""})
    committed = pd.read_csv(OUTPUTS / "tables/table_claims.csv").fillna({"source": ""})
    pd.testing.assert_frame_equal(made, committed, check_exact=False)
    assert len({(c.document, c.claim) for c in CLAIMS}) == len(CLAIMS)
    assert "not computed" not in set(committed.verdict)
