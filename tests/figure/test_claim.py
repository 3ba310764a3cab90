"""Verdicts. Oracle: a list of intervals."""

from math import inf, nan

import pytest

from fabench.figure.claim import verdict
from fabench.run.statistics import Summary


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
