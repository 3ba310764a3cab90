"""What is built and installed. Oracles: the checkout's files, and a virtual environment that has
nothing of the checkout on its path."""

import ast
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from tiny import TINY

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = chain(*PROJECT["optional-dependencies"].values())
REQUIREMENTS = [Requirement(text) for text in (*PROJECT["dependencies"], *EXTRAS)]


def call(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# -- Dependencies ----------------------------------------------------------------------------


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_dependencies_have_lower_bounds(requirement):
    assert {s.operator for s in requirement.specifier} & {">=", "~=", "=="}
    assert requirement.specifier.contains(importlib.metadata.version(requirement.name))


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    imported = set()
    for file in [*ROOT.glob("fabench/**/*.py"), *ROOT.glob("hydra_plugins/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).split(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"fabench", "hydra_plugins"}
    owners = importlib.metadata.packages_distributions()
    needed = {name.lower() for module in foreign for name in owners[module]}
    extras = PROJECT["optional-dependencies"]
    names = ("optuna", "bench", "safetensors", "slurm", "wandb")
    optional = [requirement for name in names for requirement in extras[name]]
    optional.append(extras["mlflow"][0])  # the others are for its store
    declared = {Requirement(r).name.lower() for r in [*PROJECT["dependencies"], *optional]}
    assert needed == declared


# -- The wheel -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution as for a release."""
    folder = tmp_path_factory.mktemp("dist")
    options = ["--no-isolation", "--outdir", str(folder), str(ROOT)]
    call(sys.executable, "-m", "build", *options)
    (file,) = folder.glob("*.whl")
    return file


def test_the_wheel_carries_code_configuration_and_topics_and_nothing_else(wheel):
    carried = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    code = [*ROOT.glob("fabench/**/*.py"), *ROOT.glob("hydra_plugins/*.py")]
    topics = ROOT.glob("fabench/command/topics/*.md")
    expected = {str(file.relative_to(ROOT)) for file in (*code, *topics)}
    expected |= {f"fabench/{file.relative_to(ROOT)}" for file in ROOT.glob("conf/**/*.yaml")}
    assert "fabench/conf/config.yaml" in expected and "hydra_plugins/__init__.py" not in expected
    assert carried == expected


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The bin folder of an environment with the wheel, and this one's libraries."""
    folder = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    call(*pip, "install", "--no-deps", "--no-index", "--no-compile", str(wheel))
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def test_the_installed_program_runs_with_its_own_configuration(environment, tmp_path):
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "FABENCH_DATA")}
    clean |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    where = call(
        environment / "python", "-c", "import fabench; print(fabench.__file__)",
        cwd=tmp_path, env=clean,
    )  # fmt: skip
    installed = Path(where.strip()).parent
    assert installed.is_relative_to(environment.parent)
    sgd = installed / "conf" / "optimizer" / "sgd.yaml"
    sgd.write_text(sgd.read_text().replace("lr: 0.018", "lr: 0.0123"))

    fabench = environment / "fabench"
    out = call(
        fabench, "run", *TINY, "seed=0", f"output_dir={tmp_path}/here",
        cwd=tmp_path, env=clean,
    )  # fmt: skip
    (run,) = (tmp_path / "here" / "runs").iterdir()
    assert str(run) in out
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["optimizer"]["lr"] == 0.0123
    manifest = yaml.safe_load((run / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["environment"]["commit"] is None
