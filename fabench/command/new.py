"""``fabench new GROUP NAME [PACKAGE]``: a module, its YAML and its test, to be changed."""

import keyword
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from fabench.command.templates import TEMPLATES
from fabench.run import plugins
from fabench.schema import UserError, nearest


def new(args: list[str], conf: Path) -> int:
    """Write the three files of a new option, and say how to go on. Raises UserError."""
    if len(args) not in (2, 3):
        raise UserError("fabench new takes a group, a name and, if you like, a package's folder.")
    group, name, folder = args[0], args[1], Path(args[2] if len(args) == 3 else "my_package")
    if group not in TEMPLATES:
        raise UserError(f"There is no template of group {group}{nearest(group, list(TEMPLATES))}")
    package = folder.resolve().name
    for word in (name, package):
        written = re.fullmatch(r"[a-z][a-z0-9_]*", word)
        if not written or keyword.iskeyword(word) or word == "fabench":
            raise UserError(f"{word} is no name of a module: write small_letters_and_2_digits.")
        of_yaml = yaml.safe_load(word) != word or word == "none" or _is_a_number(word)
        if of_yaml or word in ("all", "base"):
            raise UserError(f"{word} means something else: choose another name.")
    if not folder.exists() and _is_installed(package):
        raise UserError(f"There is a package {package} already: choose another name.")
    of_conf, use = group, f"run plugins=[{package}] {group}={name}"
    if group == plugins.FIGURE:
        of_conf, use = "experiment", f"figures plugins=[{package}] {name}"
    if name in plugins.own_options(group) or (conf / of_conf / f"{name}.yaml").exists():
        raise UserError(f"fabench has {of_conf} {name}: choose another name.")
    module, settings, test, more = TEMPLATES[group]
    words = {"group": group, "name": name, "package": package, "more": more}
    words["title"] = name.title().replace("_", "")
    files = {
        folder / plugins.FOLDERS[group] / f"{name}.py": module.format(**words),
        folder / "conf" / of_conf / f"{name}.yaml": settings.format(**words),
        folder / "tests" / f"test_{name}.py": test.format(**words),
    }
    for file in files:
        if file.exists():
            raise UserError(f"{file} is there already.")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(file)
    parent = folder.resolve().parent
    where = f", in {parent}" if parent != Path.cwd() else ""
    print(f"Change what says CHANGE ME. Then{where}:")
    print(f"  pytest {package}")
    print(f"  fabench {use}")
    return 0


def _is_a_number(word: str) -> bool:
    """Whether a command line's value of these letters is one: nan, inf."""
    return not isinstance(OverridesParser.create().parse_override(f"x={word}").value(), str)


def _is_installed(package: str) -> bool:
    """Whether Python comes with a module of this name, or has installed one."""
    return package in sys.stdlib_module_names or package in packages_distributions()
