"""Types that configuration classes share: what a value may be.

Every configurable class is a frozen pydantic dataclass with ``config=STRICT``.
"""

import dataclasses
from typing import Annotated, Any, get_args, get_origin

from pydantic import ConfigDict, Field

STRICT = ConfigDict(extra="forbid", strict=True)
"""Refuse unknown keys; never convert types in silence."""

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A learning rate: positive and finite."""

Fraction = Annotated[float, Field(ge=0, lt=1)]
"""A decay constant (momentum, rho, beta): in [0, 1)."""

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A smoothing constant or a penalty: finite, not negative."""

Count = Annotated[int, Field(ge=1)]
"""How many: at least 1."""


def scalars(cls: type) -> list[str]:
    """Names of a configuration class's float fields: what each row of a population has its own of.

    >>> from fabench.optimizer.sgd import Sgd
    >>> scalars(Sgd)
    ['lr']
    """
    return [f.name for f in dataclasses.fields(cls) if _plain(f.type) is float]


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
