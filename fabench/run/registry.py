"""Names in configuration, classes in code.

A group's option, its YAML file, its module and its class share one name: ``optimizer=rmsprop`` is
``conf/optimizer/rmsprop.yaml`` and ``fabench/optimizer/rmsprop.py``, which holds class ``Rmsprop``
(``relu_features``: ``ReluFeatures``); a plugin has the same layout. Configuration can name nothing
else.
"""

import dataclasses
import importlib
import json
import re
from typing import Any

from pydantic import ValidationError

from fabench.run import plugins
from fabench.schema import UserError, WrongValue, nearest, short


def names(group: str) -> list[str]:
    """The names that ``fabench.<group>`` implements, sorted."""
    return plugins.own_options(group)


def find(group: str, name: str) -> type:
    """The class behind an option's name. Raises WrongValue if there is none, UserError if a
    plugin's module does not have it."""
    package = plugins.package_of(group, name)
    if package is None:
        known, of = names(group), group.rpartition(".")[2]
        known += [o for p in plugins.USED.values() for o in p.options(group)]
        raise WrongValue(f"{of}.name={name} is unknown{nearest(name, known)}")
    path, title = f"{package}.{group}.{name}", name.title().replace("_", "")
    if package == "fabench":
        found: type = getattr(importlib.import_module(path), title)
        return found
    own: type = getattr(plugins.imported(path), title, object)
    bases = getattr(own, "__mro__", ())
    if not any(base.__module__.startswith(f"fabench.{group}.base") for base in bases):
        raise UserError(f"{path} has no class {title} with a base of fabench.{group}.base.")
    return own


def build(group: str, config: dict[str, Any]) -> Any:
    """The object that ``config`` (a group's key-value pairs, with ``name``) describes.

    Raises WrongValue naming the key, the value and what is allowed.
    """
    prefix = group.rpartition(".")[2] + "."  # command.search is group search
    return validated(find(group, str(config.get("name"))), config, prefix)


def validated(cls: type, config: dict[str, Any], prefix: str = "") -> Any:
    """``cls(**config)``, with pydantic's complaints turned into one sentence (WrongValue)."""
    try:
        return cls(**config)
    except ValidationError as error:
        first = error.errors()[0]
        key = prefix + ".".join(str(part) for part in first["loc"])
        if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            allowed = [prefix + f.name for f in dataclasses.fields(cls) if f.name != "name"]
            raise WrongValue(f"{key} is not a setting{nearest(key, allowed)}") from None
        if first["type"] in ("missing", "missing_argument"):
            raise WrongValue(f"{key} is missing.") from None
        wanted = re.sub(r"^(Input|Value error,|List|Dictionary|String) *", "", first["msg"])
        wanted = wanted.replace(" after validation", "")
        raise WrongValue(f"{key}={short(_written(first['input']))}: it {wanted}.") from None


def _written(value: Any) -> str:
    """A value as a configuration has it: null, true and false are not Python's."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
