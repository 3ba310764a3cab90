"""Types that configuration classes share: what a value may be.

Every configurable class is a frozen pydantic dataclass with ``config=STRICT``.
"""

import dataclasses
import difflib
import errno
import textwrap
from collections.abc import Sequence
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

Real = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
"""A number of any sign: finite, in float32, too."""

FourBits = Annotated[float, Field(ge=0, le=15, multiple_of=1)]
"""Four switches, 8, 4, 2, 1: a whole number, but a float, so that each row has its own."""

Count = Annotated[int, Field(ge=1, lt=2**63)]
"""How many: at least 1."""

CountFrom0 = Annotated[int, Field(ge=0, lt=2**63)]
"""How many: 0 or more."""


def scalars(cls: type) -> list[str]:
    """Names of a configuration class's float fields: what each row of a population has its own of.

    >>> from fabench.optimizer.sgd import Sgd
    >>> scalars(Sgd)
    ['lr']
    """
    return [f.name for f in dataclasses.fields(cls) if _plain(f.type) is float]


def switches(cls: type) -> list[str]:
    """Those of ``scalars`` that hold switches, not a size."""
    return [f.name for f in dataclasses.fields(cls) if f.type is FourBits]


def largest(cls: type, name: str) -> float:
    """The largest value that a configuration class's number takes (of an open interval, to three
    digits); infinity if it has none.

    >>> from fabench.optimizer.adam import Adam
    >>> largest(Adam, "beta1"), largest(Adam, "lr")
    (0.999, inf)
    """
    [field] = [f for f in dataclasses.fields(cls) if f.name == name]
    limits = [m for info in get_args(field.type)[1:] for m in getattr(info, "metadata", ())]
    closed = [float(getattr(limit, "le", np.inf)) for limit in limits]
    below = [0.999 * float(getattr(limit, "lt", np.inf)) for limit in limits]
    return min([*closed, *below, np.inf])


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


# -- What is wrong ---------------------------------------------------------------------------


class UserError(Exception):
    """The request cannot be served as it stands (exit code 2). The message is one sentence."""

    exit_code = 2


class WrongValue(UserError):
    """A value that its setting never takes, whatever the others are: no job of a sweep begins."""


def check_distinct(key: str, values: Sequence[object], what: str) -> None:
    """Raises WrongValue if one of a setting's values is there twice."""
    if len(set(values)) < len(values):
        raise WrongValue(f"{key}={values}: a {what} stands there twice.")


class RunFailed(Exception):
    """A run that had started could not finish (exit code 1). The message is one sentence."""

    exit_code = 1


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def refused(error: OSError) -> str:
    """One sentence from what the system refuses."""
    reason = error.strerror or " ".join(str(error).split())
    if error.errno in NO_ROOM:
        where = short(str(error.filename or "a file"))
        return f"Writing {where} failed ({reason}): mend that, or choose another output_dir=."
    return f"{short(str(error.filename))}: {reason}." if error.filename else f"{reason}."


def no_optimizer(request: str, rule: str) -> str:
    """The refusal of what is asked of the optimizer of a rule that searches."""
    return f"{request}: learning_rule={rule} searches, and has no optimizer."


def short(text: str) -> str:
    """Enough of a long request for a sentence about it."""
    return text if len(text) <= 100 else f"{text[:60]}...{text[-30:]}"


def nearest(word: str, known: list[str]) -> str:
    """A sentence's end: the closest known word, or all of them, as far as a sentence has room."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are {textwrap.shorten(', '.join(known) or 'none', 250, placeholder=' ...')}."
