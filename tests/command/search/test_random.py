"""Random search: the same points in the same order, whatever has been trained."""

from itertools import chain

import pytest

from fabench.command.search.base.space import Bounds, Space
from fabench.command.search.random import Draws, Random

SPACE = Space({"a": Bounds(-1.0, 1.0, log=False), "b": Bounds(0.01, 1.0, log=True)})


def points(**settings):
    search = Random(
        **{"name": "random", "space": None, "trials": 7, "batch": 3, "seed": 0} | settings
    )
    method, batches = Draws(search, SPACE), []
    while batch := method.ask():
        method.tell([])
        batches.append(batch)
    return batches


def test_points_come_in_batches():
    assert [len(batch) for batch in points()] == [3, 3, 1]


@pytest.mark.parametrize("change", [{"batch": 7}, {"trials": 12}])
def test_a_point_is_a_function_of_its_number(change):
    first, others = (list(chain(*batches)) for batches in (points(), points(**change)))
    assert others[:7] == first
    assert len({tuple(point.values()) for point in first}) == 7


def test_another_seed_has_other_points():
    assert points(seed=1)[0] != points()[0]
