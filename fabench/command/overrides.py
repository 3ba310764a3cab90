"""Overrides: what a command line or a sweep asks for, checked before Hydra composes it.

Configuration is data: an override names a setting or a group's option, never code, and of Hydra's
own settings only those that say what runs, not where files go.
"""

import hashlib
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
)
from hydra.errors import HydraException

from fabench.schema import UserError, short

NUMBERED = ("k", "seed")
"""Groups that take any number besides the options that have a YAML file."""

MOST_NUMBERS = 10_000
"""Options that one override of such a group may register."""

PATHS = ("output_dir", "data_dir")
"""Settings that name a folder; ``~`` is the user's home."""

TEXTS = ("learning_rule.formula",)
"""Settings whose text has a grammar of its own: where Hydra cannot read it, it is taken as it is
written."""

REMOVABLE = ("tuned", "debug")
"""Groups that a command may leave out: ``~tuned``."""

TUNED_GROUPS = ("dataset", "task", "learning_rule", "optimizer", "init_of_B")
"""The choices that a tuned rate belongs to."""

HYDRA = re.compile(r"hydra/launcher|hydra\.mode|hydra\.launcher\.\w+|hydra\.sweeper\.params(\..+)?")
"""What a command may set of Hydra's own settings; files: doors.py."""


def checked(arg: str, conf: Path) -> str:
    """An override as Hydra can take it. Raises UserError naming it if fabench does not."""
    key, _, text = arg.partition("=")
    path = key in PATHS and re.fullmatch(r"~[^,]*", text)  # in Hydra's grammar ~ means removal
    if path or (key in TEXTS and not _is_hydras(arg)):
        arg = f"{key}={QuotedString(text, Quote.single).with_quotes()}"
    override = _parsed(arg)
    key = override.key_or_group
    if key == "tune.method":
        raise UserError(f"{short(arg)}: tune.method= is now search=, search=optuna, say.")
    if not re.match(r"\w", key):
        raise UserError(f"{arg} names no setting: write key=value.")
    if re.search(r"\b_target_\b", arg):  # the word: difference_target_propagation is a rule
        raise UserError(f"{short(arg)}: _target_ names code, and configuration is data.")
    if re.split(r"\W", key)[0] == "hydra" and not HYDRA.fullmatch(key):
        raise UserError(
            f"{short(arg)}: configuration is data, and other settings of Hydra than "
            "hydra/launcher, hydra.launcher.NAME, hydra.mode and hydra.sweeper.params could run "
            "code or write outside output_dir."
        )
    if override.is_delete() and key not in REMOVABLE:
        raise UserError(f"{arg}: {key} can be given another value, not removed.")
    group, *rest = key.split(".")
    parts = rest if group in NUMBERED else rest[1:]
    if group in groups(conf) and parts and not parts[0].isdecimal():  # a list's item has a number
        raise UserError(f"{key} is not a setting: settings have no parts of a name.")
    if key in groups(conf) and not override.is_delete():
        _check_choice(override)
    return numbered_override(arg, conf)


def plugin_names(overrides: Sequence[str]) -> list[str]:
    """The packages that a command line names by ``plugins=[my_package]``. Raises UserError."""
    names: list[str] = []
    for override in overrides:
        if override.partition("=")[0].strip("+") == "plugins":
            value = _parsed(override).value()
            if not isinstance(value, list):
                raise UserError(f"{short(override)}: write plugins=[my_package].")
            names = [str(name) for name in value]
    return names


def groups(conf: Path) -> list[str]:
    """The groups of settings, sorted."""
    return sorted(folder.name for folder in conf.iterdir() if folder.is_dir())


def tuned_names(choices: Mapping[str, Any]) -> dict[str, str]:
    """The options of group ``tuned`` that belong to these choices, as conf/config.yaml has them:
    of the run and, where there is an experiment, of the run within it."""
    name = "_".join(str(choices.get(group)) for group in TUNED_GROUPS)
    return {"tuned": name, "tuned@_global_": f"{choices['experiment']}/{name}"}


def _is_hydras(arg: str) -> bool:
    """Whether Hydra can read an override."""
    try:
        OverridesParser.create().parse_override(arg)
    except HydraException:
        return False
    return True


def _parsed(arg: str) -> Override:
    try:
        return OverridesParser.create().parse_override(arg)
    except (HydraException, AssertionError, RecursionError, ValueError):
        arg = arg.strip() or "''"
        key, equals, value = arg.partition("=")
        given = short(arg)
        if not equals:
            raise UserError(f"{given} is no override: write key=value.") from None
        odd = set("'\"\\") & set(value) or not arg.isprintable()
        if len(value) > 60 or "(" in value[1:] or odd:
            raise UserError(f"{given} cannot be read as key=value.") from None
        quoted = shlex.quote(f'{key}="{value}"')
        raise UserError(
            f"{arg} cannot be read; if the value is meant as it stands, quote it: {quoted}."
        ) from None


def _check_choice(override: Override) -> None:
    """A group takes the names of options, or those that take numbers a list of them."""
    key, value, line = override.key_or_group, override.value(), short(str(override.input_line))
    if isinstance(value, Glob) and not all(
        isinstance(x, str) for x in value.include + value.exclude
    ):
        raise UserError(f"{line}: a glob takes patterns in quotes.")
    for choice in value.list if isinstance(value, ChoiceSweep) else [value]:
        if isinstance(choice, list) and key in NUMBERED:
            if any(type(number) is not int for number in choice):
                raise UserError(f"{line}: it should be a list of integers.")
        elif "${" in str(choice) or (
            isinstance(choice, list | dict | int | float | None)
            and (key not in NUMBERED or isinstance(choice, dict | bool | None))
        ):
            raise UserError(f"{line}: choose one option; fabench list {key} names them.")


# -- How many jobs ---------------------------------------------------------------------------


def check_number_of_jobs(overrides: Sequence[str], most: Any) -> None:
    """Raises UserError if the overrides sweep over more than ``most`` jobs, before any is made."""
    lengths = {o.get_key_element(): _length(o) for o in map(_parsed, overrides)}
    jobs = math.prod(lengths.values())
    if isinstance(most, int) and jobs > most:
        swept = ", ".join(key for key, length in lengths.items() if length > 1)
        raise UserError(f"{swept}: these are {jobs:.6g} jobs, more than max_jobs={most}.")


def _length(override: Override) -> float:
    """How many values an override has (of a glob that is open: 1)."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if override.is_interval_sweep():
        raise UserError(f"{override.input_line}: only choices and ranges can be swept.")
    if not isinstance(value, RangeSweep):
        return 1
    assert value.start is not None and value.stop is not None
    try:
        length = (value.stop - value.start) / value.step
    except OverflowError:
        return math.inf
    except ZeroDivisionError:
        raise UserError(f"{override.input_line}: a range's step cannot be 0.") from None
    if not math.isfinite(length):
        raise UserError(f"{override.input_line}: a range has finite ends.")
    return max(0, math.ceil(length))


# -- Numbers as options of a group -----------------------------------------------------------


def numbered_override(arg: str, conf: Path) -> str:
    """``k=7`` and ``seed=[0,5]`` as choices of an option that this call registers.

    Hydra refuses numbers as names of options. Other arguments come back as they are. Raises
    HydraException if the override cannot be parsed, UserError if it is too long.
    """
    group = arg.split("=")[0]
    if group not in NUMBERED:
        return arg
    override: Override = OverridesParser.create().parse_override(arg)
    value = override.value()
    if isinstance(value, Glob):
        values: list[Any] = value.filter(sorted(file.stem for file in (conf / group).iterdir()))
    elif _length(override) > MOST_NUMBERS:
        raise UserError(f"{arg}: these are more than {MOST_NUMBERS} values.")
    elif override.is_sweep_override():
        values = list(override.sweep_iterator())
    else:
        values = [value]
    if not values:
        raise HydraException(f"{arg}: no option matches")
    return f"{group}=" + ",".join(_option(group, value, conf) for value in values)


def _option(group: str, value: Any, conf: Path) -> str:
    """The quoted name of the option that stands for ``value``, registered if it is a number."""
    if isinstance(value, QuotedString):
        value = value.text
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, int | float | list) and not isinstance(value, bool):
        numbers = value if isinstance(value, list) else [value]
        node = {group: numbers if group == "seed" else value}
        value = "_".join(map(str, numbers)) or "empty"
        if len(value) > 100:  # it is looked for as a file, too
            value = "list_" + hashlib.sha256(value.encode()).hexdigest()[:16]
        if not (conf / group / f"{value}.yaml").exists():
            ConfigStore.instance().store(group=group, name=value, node=node, package="_global_")
    return f"'{value}'"
