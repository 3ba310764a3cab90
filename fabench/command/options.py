"""``fabench list``: the groups of settings and their options, those of plugins, too."""

from pathlib import Path

from fabench.run import plugins
from fabench.schema import UserError


def list_options(args: list[str], conf: Path) -> int:
    """Every option of the named groups, or of all; ``plugins=[...]`` adds a package's."""
    named = [arg for arg in args if not arg.startswith("plugins=")]
    used: list[str] = []
    if named != args:
        from fabench.command.overrides import plugin_names  # it needs Hydra

        used = plugin_names(args)
    plugins.use(used)
    groups = options(conf)
    unknown = [name for name in named if name not in groups]
    if unknown:
        raise UserError(f"There is no group {unknown[0]}; there are {', '.join(groups)}.")
    for group in named or groups:
        print(group)
        for name, text in groups[group]:
            print(f"  {name:<18} {text}".rstrip())
    return 0


def options(conf: Path) -> dict[str, list[tuple[str, str]]]:
    """Every group's options, fabench's first, each with the first comment line of its YAML file and
    the package that it is of."""
    plugins.use_all_installed()
    groups: dict[str, list[tuple[str, str]]] = {}
    for folder in sorted(path for path in conf.iterdir() if path.is_dir()):
        groups[folder.name] = _of(folder)
        for plugin in plugins.USED.values():
            own = _of(plugin.folder / "conf" / folder.name)
            groups[folder.name] += [(name, f"{text} [{plugin.name}]") for name, text in own]
    return {group: found for group, found in groups.items() if found}


def _of(folder: Path) -> list[tuple[str, str]]:
    files = {f.relative_to(folder).with_suffix(""): f for f in sorted(folder.rglob("*.yaml"))}
    return [(name.as_posix(), _headline(file)) for name, file in files.items()]


def _headline(file: Path) -> str:
    """The first comment line of a YAML file that is not a Hydra directive."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and not line.startswith("# @"):
            return line[2:]
    return ""
