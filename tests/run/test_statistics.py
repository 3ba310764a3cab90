import numpy as np
import pytest
from scipy.stats import binomtest, t, ttest_1samp

from fabench.run.statistics import (
    binomial_error,
    holm,
    paired_p,
    summarize,
    wilson,
)

RNG = np.random.default_rng(0)
SAMPLES = [RNG.normal(3, 2, n).tolist() for n in (2, 3, 5, 40)] + [[-1.0, -4.0, -9.0]]


@pytest.mark.parametrize("x", SAMPLES, ids=len)
def test_the_interval_is_scipys(x):
    s = summarize(x)
    assert s.n == len(x)
    assert s.mean == pytest.approx(np.mean(x))
    assert s.sd == pytest.approx(np.sqrt(sum((v - np.mean(x)) ** 2 for v in x) / (len(x) - 1)))
    standard_error = s.sd / np.sqrt(len(x))
    expected = t.interval(0.95, len(x) - 1, loc=np.mean(x), scale=standard_error)
    assert (s.low, s.high) == pytest.approx(expected)
    assert s.half_width == pytest.approx((expected[1] - expected[0]) / 2)


def test_three_numbers_by_hand():
    """1, 2, 3: sd 1; t of 2 degrees of freedom is 4.30265 (any table)."""
    s = summarize([1.0, 2.0, 3.0])
    assert (s.n, s.mean, s.sd) == (3, 2, 1)
    assert s.half_width == pytest.approx(4.30265 / np.sqrt(3), rel=1e-5)


def test_intervals_cover_the_mean_95_times_of_100():
    """Of 3 normal numbers; 4000 intervals: a standard error of 0.34 %."""
    n = 4000
    intervals = [summarize(x) for x in np.random.default_rng(1).normal(7, 3, (n, 3))]
    covered = np.mean([s.low < 7 < s.high for s in intervals])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / n)


def test_one_value_has_no_spread():
    s = summarize([0.5])
    assert (s.n, s.mean) == (1, 0.5)
    assert np.isnan([s.sd, s.low, s.high, s.half_width]).all()


@pytest.mark.parametrize("x", [[], [np.nan], [np.nan, np.inf]], ids=str)
def test_no_value_has_no_mean(x):
    s = summarize(x)
    assert s.n == 0
    assert np.isnan([s.mean, s.sd, s.low, s.high]).all()


def test_diverged_seeds_are_left_out():
    assert summarize([np.nan, 1.0, np.inf, 4.0, -np.inf, 5.0]) == summarize([1.0, 4.0, 5.0])
    assert summarize([np.nan, 2.0]).n == 1


def test_equal_values_have_no_width():
    s = summarize([0.25, 0.25, 0.25])
    assert (s.mean, s.sd, s.low, s.high) == (0.25, 0, 0.25, 0.25)


def test_columns_of_a_table():
    s = summarize([1.0, 4.0, 5.0])
    values = [s.mean, s.sd, s.low, s.high]
    names = ["a_mean", "a_sd", "a_ci95_low", "a_ci95_high"]
    assert list(s.columns("a").items()) == list(zip(names, values, strict=True))
    assert list(s.columns("a", sd=False)) == ["a_mean", "a_ci95_low", "a_ci95_high"]


@pytest.mark.parametrize("successes, n", [(0, 30), (16, 30), (30, 30), (1, 2)])
def test_a_rates_interval_is_scipys(successes, n):
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("x", SAMPLES, ids=len)
def test_paired_p_is_scipys(x):
    assert paired_p(x) == pytest.approx(ttest_1samp(x, 0).pvalue)


def test_pairs_that_tell_nothing_and_pairs_that_tell_all():
    assert np.isnan([paired_p([]), paired_p([0.3]), paired_p([0.0, 0.0])]).all()
    assert paired_p([0.5, 0.5, 0.5]) == 0


def test_holm_by_hand():
    """Of 0.01, 0.04, 0.03, 0.005: times 4, 3, 2, 1 in their order, and never less than before."""
    found = holm([0.01, np.nan, 0.04, 0.03, 0.005, 0.6])
    assert found[1] != found[1]
    assert found[:1] + found[2:] == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.6])
    assert holm([0.4, 0.9, 0.8]) == [1, 1, 1]


def test_a_shares_standard_error_is_that_of_draws():
    drawn = np.random.default_rng(0).binomial(400, 0.97, 200_000) / 400
    assert binomial_error(0.97, 400) == pytest.approx(drawn.std(), rel=0.01)
