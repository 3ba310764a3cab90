"""Lanes: one lane's functions in order, different lanes' at the same time."""

from contextvars import ContextVar
from threading import Barrier, Event

import pytest

from fabench.population.lanes import Lanes


def test_a_lane_keeps_its_order():
    lanes, done = Lanes(3, 2), []
    for number in range(50):
        for lane in range(3):
            lanes.submit(lane, lambda lane=lane, number=number: done.append((lane, number)))
    lanes.close()
    for lane in range(3):
        assert [number for own, number in done if own == lane] == list(range(50))


def test_two_lanes_run_at_the_same_time():
    lanes, both = Lanes(2, 2), Barrier(2)
    arrived = [lanes.submit(lane, lambda: both.wait(timeout=10)) for lane in range(2)]
    assert {future.result() for future in arrived} == {0, 1}
    lanes.close()


def test_the_lane_furthest_behind_goes_first():
    lanes, go, done = Lanes(3, 1), Event(), []
    lanes.submit(0, go.wait)
    for lane in (1, 2, 2):
        lanes.submit(lane, lambda lane=lane: done.append(lane))
    go.set()
    lanes.close()
    assert done[0] == 2
    assert sorted(done) == [1, 2, 2]


def test_what_goes_wrong_is_raised_where_the_result_is_asked_for():
    lanes = Lanes(1, 1)
    bad, good = lanes.submit(0, lambda: 1 / 0), lanes.submit(0, lambda: "still here")
    with pytest.raises(ZeroDivisionError):
        bad.result()
    assert good.result() == "still here"
    lanes.close()


def test_threads_see_the_context_of_who_makes_them():
    """Where torch keeps the settings of its compiler."""
    setting = ContextVar("setting", default=8)
    setting.set(256)
    lanes = Lanes(2, 2)
    seen = [lanes.submit(lane, setting.get) for lane in range(2)]
    assert [future.result() for future in seen] == [256, 256]
    lanes.close()
