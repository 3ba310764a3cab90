"""``fabench export`` and ``fabench predict``: networks out of run folders."""

import argparse
import csv
import io
import sys
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fabench.command.overrides import plugin_names
from fabench.dataset.base.given import GivenDataset
from fabench.dataset.base.images import ImageDataset
from fabench.dataset.folder import SUFFIXES, read_image
from fabench.run import plugins
from fabench.run.catalogue import entries, named
from fabench.run.config import Config
from fabench.run.store import write_text
from fabench.run.weights import export, folder_at, load
from fabench.schema import UserError, short


class _Parser(argparse.ArgumentParser):
    """Of a verb: wrong arguments are a UserError."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}: see {self.prog} --help.")


def _arguments(verb: str, args: list[str], *names: str) -> argparse.Namespace:
    """The named arguments, of which ``run``, sought in output_dir=, becomes a folder, --seed,
    --best and --to; plugins=[...] is put to use."""
    plugins.use(plugin_names(args))
    parser = _Parser(prog=f"fabench {verb}", add_help=False)
    for name in names:
        parser.add_argument(name)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--best", action="store_true")
    parser.add_argument("--to", type=Path)
    settings = ("plugins=", "output_dir=")
    given = parser.parse_args([arg for arg in args if not arg.startswith(settings)])
    where = [arg.removeprefix("output_dir=") for arg in args if arg.startswith("output_dir=")]
    given.run = named(given.run, entries(["outputs", *where][-1])).path
    if given.to is not None and given.to.is_dir():
        raise UserError(f"--to {short(str(given.to))} is a folder: name a file.")
    return given


def export_run(args: list[str]) -> int:
    """``fabench export RUN --to FILE``: a network in a file."""
    given = _arguments("export", args, "run")
    if given.to is None:
        raise UserError("--to is missing: see fabench export --help.")
    export(given.run, given.seed, given.to, given.best)
    print(given.to)
    return 0


def predict(args: list[str]) -> int:
    """``fabench predict RUN INPUTS``: what a network says of examples, as CSV."""
    given = _arguments("predict", args, "run", "inputs")
    config = folder_at(given.run).config
    names, x = _examples(config, Path(given.inputs).expanduser())
    network = load(given.run, given.seed, given.best)
    said = torch.cat([network.predict(part) for part in x.split(1000)])
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["example", *_columns(config, said.shape[1])])
    for name, row in zip(names, said.tolist(), strict=True):
        writer.writerow([name, *(f"{value:.6g}" for value in row)])
    if given.to is None:
        sys.stdout.write(table.getvalue())
    else:
        write_text(given.to, table.getvalue())
    return 0


def _columns(config: Config, n: int) -> list[str]:
    """A name for each output: a class's; of a single one, the task's."""
    if n == 1:
        return [config.task.name]
    if isinstance(config.dataset, GivenDataset):
        return list(config.dataset.class_names)
    return [str(number) for number in range(n)]


def _examples(config: Config, inputs: Path) -> tuple[list[str], Tensor]:
    """Names, and values [N, k P] as the network takes them. Raises UserError."""
    dataset, k = config.dataset, config.task.items_per_example
    shape = dataset.file_shape if isinstance(dataset, ImageDataset) else dataset.item_shape
    names, values = _array(inputs) if inputs.suffix == ".npz" else _images(config, inputs)
    size = k * prod(shape)
    if values[0].size != size:
        raise UserError(
            f"{short(str(inputs))}: an example of this run has {size} values, not {values[0].size}."
        )
    x = torch.from_numpy(values).float().view(len(values) * k, *shape)
    if isinstance(dataset, ImageDataset) and dataset.downsample > 1:
        x = avg_pool2d(x, dataset.downsample)
    return names, x.reshape(len(values), -1)


def _array(file: Path) -> tuple[list[str], NDArray[Any]]:
    """The array x [N, ...] of an .npz file."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            x = archive["x"]
    except (KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{short(str(file))} is no .npz file with an array x.") from error
    if x.dtype.kind not in "uif" or x.ndim < 2 or 0 in x.shape:
        raise UserError(
            f"{short(str(file))}: x should be numbers [N, ...], not {x.dtype} {list(x.shape)}."
        )
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    if not np.isfinite(x).all():
        raise UserError(f"{short(str(file))}: x has values that are not finite in float32.")
    return [str(number) for number in range(len(x))], x


def _images(config: Config, inputs: Path) -> tuple[list[str], NDArray[Any]]:
    """The images of a folder [N, C, H, W], resized to those of the run, and scaled as its are."""
    dataset = config.dataset
    if not isinstance(dataset, ImageDataset) or config.task.items_per_example > 1:
        raise UserError(f"{config.problem}: an example is no image; give an .npz file with x.")
    shape = dataset.file_shape
    if shape[0] not in (1, 3):
        raise UserError(f"{dataset.name} has {shape[0]} channels, and an image file one or three.")
    files = sorted(str(file) for file in inputs.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"{short(str(inputs))} is no .npz file, and no folder with images.")
    pixels = np.stack([read_image(file, shape) for file in files])
    return files, pixels * np.float32(dataset.max_pixel / 255)
