"""table_claims. Oracle: the committed tables and data."""

import re
from pathlib import Path

import pandas as pd

from fabench.figure.recipe import table_claims
from fabench.figure.recipe.table_claims import CLAIMS

OUTPUTS = Path(__file__).parents[3] / "outputs"


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


def test_the_readme_has_the_counts():
    committed = pd.read_csv(OUTPUTS / "tables/table_claims.csv").verdict
    text = " ".join((OUTPUTS.parent / "README.md").read_text(encoding="utf-8").split())
    told = re.search(r"Of (\d+) claims .* (\d+) hold here, (\d+) do not and (\d+) are open", text)
    counts = committed.value_counts()
    found = [len(committed), counts["holds"], counts["does not"], counts["open"]]
    assert told and [int(number) for number in told.groups()] == found
