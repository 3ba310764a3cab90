"""The house: which folder may use which. Imports go down only, and in no circle."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fabench"
FLOORS = [
    {"command"},
    {"figure"},
    {"run"},
    {"population"},
    {"learning_rule", "parallel"},
    {"optimizer", "schedule", "task", "dataset"},
    {"model"},
    {"schema", "randomness", "__init__"},
]
"""From the roof down. ``__main__`` is the door: it may import anything."""

MODULES = {
    ".".join(("fabench", *file.relative_to(PACKAGE).with_suffix("").parts)): file
    for file in PACKAGE.rglob("*.py")
    if file.name != "__main__.py"
}


def imports(file: Path) -> Iterator[str]:
    """The modules of fabench that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


USES = {
    module: {name for name in imports(file) if name.split(".")[0] == "fabench"}
    for module, file in MODULES.items()
}


def folder(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def floor(module: str) -> int:
    [number] = [n for n, names in enumerate(FLOORS) if folder(module) in names]
    return number


def test_eleven_folders_and_two_small_files():
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert len(folders) == 11
    assert files == {"schema", "randomness"}
    assert folders | files | {"__init__"} == set().union(*FLOORS)


@pytest.mark.parametrize("module", sorted(USES))
def test_imports_go_down(module):
    for used in USES[module]:
        lower = floor(used) > floor(module) or folder(used) == folder(module)
        assert lower, f"{module} imports {used}"


def test_there_is_no_circle():
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above, module))
        if module not in done:
            for used in USES.get(module, ()):
                visit(used, (*above, module))
            done.add(module)

    for module in USES:
        visit(module, ())


def test_no_module_is_long():
    lines = {name: len(file.read_text().splitlines()) for name, file in MODULES.items()}
    assert {name for name, number in lines.items() if number > 400} == set()
