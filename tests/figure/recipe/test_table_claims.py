"""table_claims. Oracles: a list of intervals, the committed tables and data."""

from math import inf, nan
from pathlib import Path

import pandas as pd
import pytest

from fabench.figure.recipe import table_claims
from fabench.figure.recipe.table_claims import CLAIMS, verdict
from fabench.run.statistics import Summary

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
