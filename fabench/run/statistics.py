"""Statistics over seeds: means and rates of success with their 95 % intervals, paired tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Of n values: their mean, sample standard deviation, and 95 % interval of the mean.

    One value has no standard deviation and no interval (NaN); no value has not even a mean.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval: mean ± half_width."""
        return self.high - self.mean

    @property
    def within_one_error(self) -> float:
        """The least that is within one standard error of the mean: of one value, itself."""
        return self.mean - self.sd / sqrt(self.n) if self.n > 1 else self.mean

    def __format__(self, spec: str) -> str:
        """mean ± half_width, each as ``spec`` says; the mean alone where there is no interval."""
        mean, half = (format(x, spec) for x in (self.mean, self.half_width))
        return mean if np.isnan(self.half_width) else f"{mean} ± {half}"

    def columns(self, name: str, *, sd: bool = True) -> dict[str, float]:
        """A table's columns ``<name>_mean``, ``_sd``, ``_ci95_low`` and ``_ci95_high``."""
        spread = {f"{name}_sd": self.sd} if sd else {}
        interval = {f"{name}_ci95_low": self.low, f"{name}_ci95_high": self.high}
        return {f"{name}_mean": self.mean, **spread, **interval}


def summarize(values: Sequence[float]) -> Summary:
    """Mean ± t_{0.975, n-1} sd / sqrt(n). NaNs (diverged seeds) are left out and n tells so."""
    x = np.asarray([v for v in values if np.isfinite(v)], dtype=np.float64)
    n = len(x)
    mean = float(x.mean()) if n else np.nan
    sd = float(x.std(ddof=1)) if n > 1 else np.nan
    half = _student_quantile(n - 1) * sd / sqrt(n) if n > 1 else np.nan
    return Summary(n, mean, sd, mean - half, mean + half)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's interval of the probability of what happened so many times in n."""
    z = 1.959963984540054  # z_{0.975} of the normal distribution
    middle = (successes + z**2 / 2) / (n + z**2)
    half = z * sqrt(successes * (n - successes) / n + z**2 / 4) / (n + z**2)
    return middle - half, middle + half


def binomial_error(share: float, n: int) -> float:
    """Standard error of a share of ``n`` examples, as if they were drawn anew."""
    return sqrt(share * (1 - share) / n)


def paired_p(differences: Sequence[float]) -> float:
    """Student's two-sided p value of pairs' differences having the mean 0; NaN of fewer than 2."""
    from scipy.special import stdtr  # here, for it costs a tenth of torch

    s = summarize(differences)
    if s.n < 2 or s.sd == 0:
        return np.nan if s.n < 2 or s.mean == 0 else 0.0
    return float(2 * stdtr(s.n - 1, -abs(s.mean) / s.sd * sqrt(s.n)))


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected for there being several: Holm's. NaNs count as none and stay.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6, 1979.
    """
    values = np.asarray(p, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    values[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1)
    return [float(value) for value in values]


def _student_quantile(degrees_of_freedom: float) -> float:
    """t_{0.975} of the Student distribution."""
    from scipy.special import stdtrit  # here, for it costs a tenth of torch

    return float(stdtrit(degrees_of_freedom, 0.975))
