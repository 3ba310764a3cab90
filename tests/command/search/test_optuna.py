"""Which points Optuna chooses, also after a kill. Oracle: a made-up score with a known peak."""

import os
from pathlib import Path

import numpy as np
import pytest

from fabench.command.search.base.method import PointScore
from fabench.command.search.base.space import Bounds, Space
from fabench.command.search.optuna import trials
from fabench.run.statistics import summarize
from fabench.schema import UserError

SPACE = Space(
    {
        "optimizer.lr": Bounds(0.00123456, 10.0, log=True),
        "optimizer.beta1": Bounds(0.5, 0.9999, log=False),
    }
)
START = {"optimizer.lr": 0.5, "optimizer.beta1": 0.9}
PEAK = 0.05


def score(point):
    """The lower, the farther lr is from its peak; diverged above 1."""
    lr = point["optimizer.lr"]
    return PointScore(point, summarize([-abs(np.log(lr / PEAK))]), int(lr > 1))


def search(file, total=12, stop=None, name="a"):
    """The points that are asked for, batch by batch; killed before batch ``stop`` is told."""
    batches = []
    with trials(file, name, SPACE, START, total, batch=4) as method:
        scores = []
        while points := method.ask():
            batches.append(points)
            if len(batches) == stop:
                break
            scores += [score(point) for point in points]
            method.tell(scores)
    return batches


def points(batches):
    return [point for batch in batches for point in batch]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("search") / "any %20?{name}.db"


@pytest.fixture(scope="module")
def uninterrupted(file):
    return search(file)


def test_points_come_in_batches_within_bounds_in_three_digits(uninterrupted):
    assert [len(batch) for batch in uninterrupted] == [4, 4, 4]
    for point in points(uninterrupted):
        assert list(point) == list(SPACE)
        for key, value in point.items():
            low, high = SPACE[key].ends()
            assert low <= value <= high
            assert value in (low, high, float(f"{value:.3g}"))


def test_the_settings_as_they_are_come_first(tmp_path, uninterrupted):
    assert uninterrupted[0][0] == START
    assert START not in points(uninterrupted)[1:]
    with trials(tmp_path / "optuna.db", "a", SPACE, None, 4, batch=4) as method:
        assert START not in method.ask()


def test_later_points_are_better_and_a_diverged_one_is_no_winner(uninterrupted):
    scores = [score(point) for point in points(uninterrupted)]
    assert any(s.diverged for s in scores)
    best = max(scores, key=lambda s: s.mean)
    assert PEAK / 3 < best.point["optimizer.lr"] < PEAK * 3


@pytest.mark.parametrize("stop", [1, 2])
def test_a_killed_search_ends_as_if_it_had_not_been(tmp_path, uninterrupted, stop):
    file = tmp_path / "optuna.db"
    first = search(file, stop=stop)
    assert first == uninterrupted[:stop]  # the same search elsewhere: the same points
    rest = search(file)
    assert rest[0] == points(first)  # told or not, their runs are found
    assert points(rest) == points(uninterrupted)


def test_more_trials_go_on_and_fewer_ask_for_none(file, uninterrupted):
    assert search(file, total=3) == [points(uninterrupted)]
    more = points(search(file, total=14))
    assert more[:12] == points(uninterrupted)
    assert len(more) == 14


def test_another_name_is_another_search(file, uninterrupted):
    assert search(file, name="b", stop=1) == uninterrupted[:1]


def test_a_trial_that_was_killed_while_it_was_asked_for_does_not_count(file, uninterrupted):
    with trials(file, "c", SPACE, START, 4, batch=4) as method:
        method.study.ask()
    asked = points(search(file, name="c", total=4))
    assert len(asked) == 4 and asked[0] == START


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
def test_the_file_is_closed(file, uninterrupted):
    def opened():
        return [fd for fd in Path("/proc/self/fd").iterdir() if str(file) in os.path.realpath(fd)]

    before = opened()
    with trials(file, "a", SPACE, START, 12, batch=4):
        assert len(opened()) > len(before)
    assert opened() == before


def test_an_unusable_file_is_said(tmp_path):
    file = tmp_path / "optuna.db"
    file.write_text("no database" * 100)
    with (
        pytest.raises(UserError, match=f"^{file} cannot be used"),
        trials(file, "a", SPACE, None, 1, 1),
    ):
        pass
