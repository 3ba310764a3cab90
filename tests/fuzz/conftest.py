"""Hypothesis: the same examples whenever the suite runs, others whenever ``make fuzz`` does."""

from asking import LONG
from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "fuzz",
    database=None,
    derandomize=not LONG,
    deadline=None,  # asking.ask has one
    phases=[Phase.generate, *[Phase.shrink] * LONG],  # smaller examples take minutes to find
    print_blob=LONG,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuzz")
