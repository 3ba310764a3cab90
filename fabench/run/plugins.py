"""Packages of a user's own rules, optimizers, models, figures and the like, laid out as fabench is.

``my_package/learning_rule/my_rule.py`` holds class ``MyRule``, and
``my_package/conf/learning_rule/my_rule.yaml`` its settings; a figure's recipe (command/figures.py)
is ``my_package/figure/recipe/my_figure.py``. A plugin is code. It is used if the command line names
it (``plugins=[my_package]``), or if it is installed, has an entry point
``my_rule = "my_package"`` in the group ``fabench.learning_rule``, and a run chooses that name. What
is used is read, for the identity of runs; a module is imported when its option is chosen.
"""

import hashlib
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from fabench.schema import UserError

GROUPS = ("learning_rule", "optimizer", "schedule", "parallel", "dataset", "task", "model")
"""Whose options a plugin may have ..."""

FIGURE = "figure"
"""... and recipes of figures and tables."""

FOLDERS = {group: group for group in GROUPS} | {FIGURE: "figure/recipe"}
"""Where their modules lie, in fabench and in a plugin."""


@dataclass(frozen=True)
class Plugin:
    """A package; sources: the text of its modules by their paths within it, those of ``tests``
    and figures, which come after a run, left out."""

    name: str
    folder: Path
    sources: dict[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the sources."""
        sha = hashlib.sha256()
        for path, text in sorted(self.sources.items()):
            sha.update(f"{path} {len(text)}\n{text}".encode())
        return sha.hexdigest()

    def options(self, group: str) -> list[str]:
        """The names that it adds to a group, sorted."""
        return modules([str(self.folder / FOLDERS[group])])


USED: dict[str, Plugin] = {}
"""The plugins of this command, by name."""


def modules(path: Sequence[str]) -> list[str]:
    """The names of the options among the modules of a group's package."""
    found = pkgutil.iter_modules(path)
    return sorted(m.name for m in found if m.name != "base" and not m.ispkg)


def use(names: Sequence[str]) -> None:
    """The plugins that the command line names, found on sys.path, the working folder first; those
    of a command before are forgotten. Raises UserError."""
    USED.clear()
    if names and os.getcwd() not in sys.path[:1]:
        sys.path.insert(0, os.getcwd())
    for name in dict.fromkeys(names):
        _use(name, f"plugins=[{name}]")


def use_installed(group: str, name: str) -> Plugin | None:
    """The installed plugin that has an option by an entry point, if there is one."""
    if group not in FOLDERS:
        return None
    from importlib.metadata import entry_points  # it reads every installed package: if need be

    for entry in entry_points(group=f"fabench.{group}", name=name):
        package = entry.module.partition(".")[0]
        return USED.get(package) or _use(package, f"{group}={name} of an installed package")
    return None


def use_all_installed() -> None:
    """Every installed plugin. Raises UserError."""
    from importlib.metadata import entry_points

    for group in FOLDERS:
        for entry in entry_points(group=f"fabench.{group}"):
            use_installed(group, entry.name)


def _use(name: str, request: str) -> Plugin:
    spec = None
    if name.isidentifier():
        with suppress(ValueError):  # __main__ has none
            spec = importlib.util.find_spec(name)
    if spec is None:
        raise UserError(f"{request}: there is no package {name} in the working folder or sys.path.")
    folder = Path(next(iter(spec.submodule_search_locations or ["?"])))
    try:
        sources = sources_in(folder)
    except UnicodeDecodeError as error:
        raise UserError(f"{request}: a module of {folder} is not UTF-8.") from error
    plugin = Plugin(name, folder, sources)
    added = [(group, option) for group in FOLDERS for option in plugin.options(group)]
    if not added:
        folders = ", ".join(FOLDERS.values())
        raise UserError(f"{request}: {name} has none of the folders {folders}.")
    others = [("fabench", own_options), *((p.name, p.options) for p in USED.values())]
    for other, options in others:
        for group, option in added:
            if option in options(group):
                raise UserError(f"{request}: {other} has {group}={option}, too; rename yours.")
    USED[name] = plugin
    return plugin


def sources_in(folder: Path) -> dict[str, str]:
    """The text of every module but tests and figures, by its path in a package's folder."""
    paths = [file.relative_to(folder) for file in folder.rglob("*.py")]
    own = [path for path in paths if "tests" not in path.parts and path.parts[0] != FIGURE]
    return {path.as_posix(): (folder / path).read_text("utf-8") for path in own}


def own_options(group: str) -> list[str]:
    """The names that ``fabench.<group>`` implements, sorted."""
    folder = FOLDERS.get(group, group.replace(".", "/"))
    return modules([str(Path(__file__).parents[1] / folder)])


def imported(path: str) -> ModuleType:
    """A plugin's module. Raises UserError if it cannot be imported."""
    try:
        return importlib.import_module(path)
    except Exception as error:  # of whatever kind: it is not ours
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"{path} cannot be imported ({reason}).") from error


def place(error: BaseException) -> str | None:
    """Where in a plugin an error arose, in words; None where in none."""
    folders = [plugin.folder for plugin in USED.values()]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if any(Path(frame.filename).is_relative_to(folder) for folder in folders):
            return f"{frame.filename}, line {frame.lineno}"
    return None


def package_of(group: str, name: str) -> str | None:
    """The package that has an option; None if none has it. Raises UserError."""
    if name in own_options(group):
        return "fabench"
    for plugin in USED.values():
        if name in plugin.options(group):
            return plugin.name
    installed = use_installed(group, name)
    return installed.name if installed and name in installed.options(group) else None


def of(options: Sequence[object]) -> dict[str, Plugin]:
    """The plugins that the classes of chosen options come from, by name."""
    packages = {type(option).__module__.partition(".")[0] for option in options}
    return {name: USED[name] for name in sorted(packages) if name in USED}
