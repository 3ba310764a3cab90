"""Shared by all tests: configurations composed from conf/, random images, random networks.

Axes: R rows, N examples, B batch, I fan-in, O fan-out, C outputs, H pixels high, W pixels wide.
"""

import contextlib
import copy
import functools
import math
import os
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from tiny import TINY as TINY_RUN

from fabench.command import cli
from fabench.command.overrides import numbered_override
from fabench.dataset.base.images import Images
from fabench.dataset.digits import Digits
from fabench.model.layer.network import Layer
from fabench.run import environment, plugins
from fabench.run.parsing import parse
from fabench.run.store import RunFolder
from fabench.schema import UserError

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and rich would keep to it
torch.set_num_threads(1)  # tensors are tiny, and pytest-xdist fills the cores

CONF = Path(__file__).parents[1] / "conf"
TINY = {
    "dataset": "digits",  # needs no files
    "trainer__device": "cpu",
    "trainer__epochs": 2,
    "trainer__batch_size": 16,
    "trainer__train_examples": 40,  # two batches and a short one
    "trainer__test_examples": 24,
    "model__hidden": [5],
}


@functools.cache
def composed(choices):
    """conf/ composed with ``choices``, a tuple of Hydra overrides, as plain containers."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [numbered_override(choice, CONF) for choice in choices])
    return OmegaConf.to_container(cfg, resolve=True)


def make_raw_config(**overrides):
    """See ``make_config``; before it is parsed."""
    choices, values = [], {}
    for key, value in {**TINY, **overrides}.items():
        if isinstance(value, str) and "__" not in key and (CONF / key).is_dir():
            choices.append(f"{key}={value}")
        else:
            values[key] = value
    raw = copy.deepcopy(composed(tuple(choices)))
    for key, value in values.items():
        node, *path = [raw, *key.split("__")]
        for part in path[:-1]:
            node = node[part]
        assert path[-1] in node, f"conf/ has no key {key}"
        node[path[-1]] = value
    return raw


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """An empty working folder, no settings of the developer's own, plots without pixels."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **_: file.write(b"a plot"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("FABENCH_DATA", "HYDRA_FULL_ERROR", "COMP_LINE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True, scope="session")
def ask_git_once():
    """Every run's manifest has the commit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "_output", functools.cache(environment._output))
        yield


@pytest.fixture(autouse=True)
def keep_every_epoch(monkeypatch):
    """Files are brought up to date after every epoch, however short."""
    monkeypatch.setattr("fabench.run.chore.KEEPING", math.inf)


@pytest.fixture
def use_cores(monkeypatch):
    """Let torch use so many cores until the test's end, and rows of tiny networks threads, too."""
    monkeypatch.setattr("fabench.population.population.LANES_FROM", 0)
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_config():
    """A checked configuration of a tiny run on digits.

    A group's option, a number or a setting ("__" stands for the dot) by keyword:
    make_config(optimizer="adam", k=7, seed=[0, 5], optimizer__lr=0.1, output_dir=str(tmp_path)).
    Hydra composes the options; numbers and settings replace what it composed.
    """
    return lambda **overrides: parse(make_raw_config(**overrides))


@pytest.fixture(scope="session")
def make_fitting(make_config):
    """``make_config`` of a learning rule, of what it takes: where it refuses the network, one
    hidden layer of sigmoid units; where it refuses the inputs, pixels in [0, 1]; where it refuses
    the task, 64 patterns to reconstruct."""

    def make(rule, **settings):
        small = {"model__hidden": settings["model__hidden"][:1], "model__activation": "sigmoid"}
        patterns = {"dataset": "encoder", "dataset__n": 64, "task": "reconstruction"}
        *others, last = {}, small, small | {"dataset__scaling": "unit"}, small | patterns
        for other in others:
            with contextlib.suppress(UserError):
                return make_config(learning_rule=rule, **settings | other)
        return make_config(learning_rule=rule, **settings | last)

    return make


@pytest.fixture(scope="session")
def make_raw():
    """What ``make_config`` parses: plain containers, the caller's own."""
    return make_raw_config


@pytest.fixture
def put_run(make_config):
    """Put a run folder into outputs/runs, as if its seeds had come to these accuracies in even
    steps: ``put_run("interrupted", accuracies=(0.5, 0.7), k=1)``."""

    def put(
        status="finished", accuracies=(0.5, 0.7), stopped="2026-01-01T00:00:00+00:00", **settings
    ):
        seeds = settings.pop("seed", list(range(len(accuracies))))
        folder = RunFolder(make_config(seed=seeds, **settings))
        last = folder.config.trainer.epochs - (status in ("running", "interrupted"))
        rows = [
            {
                "seed": seed,
                "epoch": epoch,
                "test_loss": (1 - share * accuracy) ** 2,
                "test_accuracy": share * accuracy,
                "diverged": int(status == "failed"),
                "seconds": 2.0 * (epoch > 0),
            }
            for epoch, share in enumerate(np.linspace(0, 1, last + 1))
            for seed, accuracy in zip(seeds, accuracies, strict=True)
        ]
        folder.path.mkdir(parents=True)
        folder.write_config()
        sessions = [{"epoch": 0, "started": "2025-01-01T00:00:00+00:00", "stopped": stopped}]
        ending = {"reason": "every seed diverged."} if status == "failed" else {}
        folder.update_manifest(status=status, command="fabench run", sessions=sessions, **ending)
        folder.write_metrics(pd.DataFrame(rows))
        return folder

    return put


@pytest.fixture(scope="session")
def make_images():
    """Random images of digits' size: training pixels 0 to 99, test pixels 150 to 255."""

    def make(n_train=40, n_test=24, seed=0):
        rng = np.random.default_rng(seed)

        def tensor(*args):
            return torch.from_numpy(rng.integers(*args, dtype=np.uint8))

        return Images(
            train_images=tensor(0, 100, (n_train, 8, 8)),
            train_labels=tensor(0, 10, n_train),
            test_images=tensor(150, 256, (n_test, 8, 8)),
            test_labels=tensor(0, 10, n_test),
            source="random",
            n_classes=10,
            max_pixel=255,
        )

    return make


@pytest.fixture(scope="session")
def own_data(tmp_path_factory):
    """A user's own data by the dataset that takes them: digits as an .npz file, 12 coloured images
    of three classes in train/ and test/."""
    folder = tmp_path_factory.mktemp("own")
    images = Digits("digits").load()
    arrays = {
        f"{split}_{of}": getattr(images, f"{split}_{name}").numpy()
        for split in ("train", "test")
        for of, name in (("x", "images"), ("y", "labels"))
    }
    np.savez(folder / "x.npz", **arrays, x=arrays["test_x"])  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 7, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        split = "train" if number < 9 else "test"
        file = folder / "images" / split / "abc"[number % 3] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(file)
    return {"arrays": folder / "x.npz", "folder": folder / "images"}


@pytest.fixture
def with_own_things(workdir, own_data, tmp_path):
    """Of a command's arguments: make my_package, x.npz, images and outputs/runs/NAME (its name put
    in), as far as they ask for them."""

    def prepare(args):
        for name, path in (("x.npz", own_data["arrays"]), ("images", own_data["folder"])):
            (tmp_path / name).symlink_to(path)
        if "plugins=[my_package]" in args:
            assert cli.main(["new", "learning_rule", "my_rule"]) == 0
            assert cli.main(["new", "figure", "my_figure"]) == 0
        if "outputs/runs/NAME" not in args:
            return args
        assert cli.main(["run", *TINY_RUN, "k=1", "seed=[0,1]"]) == 0
        [run] = (tmp_path / "outputs/runs").iterdir()
        return [str(run) if arg == "outputs/runs/NAME" else arg for arg in args]

    yield prepare
    plugins.USED.clear()


@pytest.fixture(scope="session")
def draw_network():
    """A random network of R = 3 rows in float64, with its input x [R, B, I] and targets y."""

    def draw(widths, activation="tanh", bias=False, gate=None, seed=0):
        rng = torch.Generator().manual_seed(seed)

        def normal(*shape, sd=1.0):
            return sd * torch.randn(shape, generator=rng, dtype=torch.float64)

        R, B, layers, weights = 3, 4, [], SimpleNamespace(W=[], b=[], G=[])
        for index, (i, o) in enumerate(pairwise(widths)):
            own_gate = gate if index < len(widths) - 2 else None
            bias_init = "torch_uniform" if bias else None
            layers.append(Layer(i, o, activation, bias_init=bias_init, gate=own_gate))
            weights.W.append(normal(R, i, o, sd=1.5 / i**0.5))
            weights.b.append(normal(R, 1, o, sd=0.3) if bias else None)
            weights.G.append(normal(R, i, o) if own_gate else None)
        x = normal(R, B, widths[0])
        y = (normal(R, B, widths[-1]) > 0).double()
        parameters = {
            f"{kind}{index}": matrix
            for kind, matrices in vars(weights).items()
            for index, matrix in enumerate(matrices)
            if matrix is not None
        }
        return SimpleNamespace(layers=tuple(layers), weights=weights, parameters=parameters,
                               x=x, y=y, normal=normal)  # fmt: skip

    return draw
