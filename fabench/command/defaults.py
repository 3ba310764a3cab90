"""A run's settings as the overrides that ask for it: what differs from the defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.override_parser.types import Quote, QuotedString

from fabench.command.hydra_app import composing, plain
from fabench.command.overrides import checked, groups
from fabench.run.catalogue import DERIVED, flat
from fabench.schema import UserError


def overrides(settings: Mapping[str, Any], conf: Path) -> list[str]:
    """Of settings by key (see ``Entry.settings``): the options that are not the defaults, then what
    differs from what all options say. ``fabench run`` with these gives the run.

    Where an option is not one of fabench's, every setting is told, but those that follow from
    others.
    """
    try:
        options, usual = _usual(settings, conf)
    except UserError:
        return [f"{k}={written(value)}" for k, value in settings.items() if k not in DERIVED]
    others = (key for key in settings if key in usual and key not in groups(conf))
    return options + [f"{k}={written(settings[k])}" for k in others if settings[k] != usual[k]]


def _usual(settings: Mapping[str, Any], conf: Path) -> tuple[list[str], dict[str, Any]]:
    """The options that are not the defaults, and all settings as they are with these."""
    with composing(conf):
        usual = flat(plain(compose("config")))
        options = set(groups(conf))
        chosen = [key for key in settings if key in options and usual.get(key) != settings[key]]
        words = [f"{key}={written(settings[key])}" for key in chosen]
        named = [checked(word, conf) for word in words]
        return words, flat(plain(compose("config", named)))


def written(value: Any) -> str:
    """A value as a command line has it."""
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    plain_word = not isinstance(value, str) or re.fullmatch(r"[\w./-]+", text)
    return text if plain_word else QuotedString(text, Quote.single).with_quotes()
