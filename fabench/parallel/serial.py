"""One worker, which is the centre: SGD as ever."""

from pydantic.dataclasses import dataclass

from fabench.parallel.base import ParallelScheme
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class Serial(ParallelScheme):
    name: str
