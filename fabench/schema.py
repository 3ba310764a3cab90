"""Types that configuration classes share: what a value may be.

Every configurable class is a frozen pydantic dataclass with ``config=STRICT``.
"""

import dataclasses
from typing import Annotated, Any, get_args, get_origin

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field

STRICT = ConfigDict(extra="forbid", strict=True)
"""Refuse unknown keys; never convert types in silence."""

LARGEST, SMALLEST = 1e30, 1.2e-38
"""Of a setting's size: an update divides a rate by 1 - beta, at least 6e-8, and float32 ends at
3.4e38; what is smaller is 0 in it."""


def _within_float32(value: float) -> float:
    if value > LARGEST:
        raise ValueError(f"should be at most {LARGEST:g}, or float32 overflows")
    if 0 < value < SMALLEST:
        raise ValueError(f"should be at least {SMALLEST:g}, or it is 0 in float32")
    return value


def _below_1_in_float32(value: float) -> float:
    if np.float32(value) == 1:
        raise ValueError("should be less than 1, and it is 1 in float32")
    return value


InFloat32 = AfterValidator(_within_float32)

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False), InFloat32]
"""A learning rate: positive and finite, in float32, too."""

Fraction = Annotated[float, Field(ge=0, lt=1), AfterValidator(_below_1_in_float32)]
"""A decay constant (momentum, rho, beta): in [0, 1), in float32, too."""

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), InFloat32]
"""A smoothing constant or a penalty: finite, not negative."""

Count = Annotated[int, Field(ge=1, lt=2**63)]
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
