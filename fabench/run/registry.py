"""Names in configuration, classes in code.

A group's option, its YAML file, its module and its class share one name: ``optimizer=rmsprop`` is
``conf/optimizer/rmsprop.yaml`` and ``fabench/optimizer/rmsprop.py``, which holds class ``Rmsprop``
(``relu_features``: ``ReluFeatures``). Configuration can name nothing else.
"""

import dataclasses
import importlib
import importlib.util
import json
import pkgutil
import re
from typing import Any

from pydantic import ValidationError

from fabench.schema import WrongValue, nearest, short


def names(group: str) -> list[str]:
    """The names that ``fabench.<group>`` implements, sorted."""
    package = importlib.import_module(f"fabench.{group}")
    modules = pkgutil.iter_modules(package.__path__)
    return sorted(m.name for m in modules if m.name != "base" and not m.ispkg)


def find(group: str, name: str) -> type:
    """The class behind an option's name. Raises WrongValue if there is none."""
    known, of = names(group), group.rpartition(".")[2]
    if name not in known:
        raise WrongValue(f"{of}.name={name} is unknown{nearest(name, known)}")
    module = importlib.import_module(f"fabench.{group}.{name}")
    found: type = getattr(module, name.title().replace("_", ""))
    return found


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
