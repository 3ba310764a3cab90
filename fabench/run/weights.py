"""Trained networks out of run folders: as modules of torch, and as files."""

import io
from pathlib import Path
from typing import Any

import torch

from fabench.population.network import Network
from fabench.population.population import Row
from fabench.run.best import of_best_epochs
from fabench.run.store import RunFolder, whole_file
from fabench.run.trainer import data_of, population_of
from fabench.schema import UserError, short


def folder_at(run: str | Path) -> RunFolder:
    """A run's folder. Raises UserError if there is none."""
    path = Path(run).expanduser()
    if not (path / "config.yaml").is_file():
        raise UserError(f"{short(str(run))} is no run's folder: it has no config.yaml.")
    folder = RunFolder.at(path.resolve())
    folder.path = path  # a copy may have another name
    return folder


def load(run: str | Path, seed: int | None = None, best: bool = False) -> Network:
    """The network of a run's folder, of this seed or its first, as its checkpoint has it;
    ``best``: that of the best epoch, which ``trainer.keep_best=true`` keeps.

    Weights that do not learn (features, gates, frozen layers, feedback) are drawn again. Raises
    UserError: no such run or seed, no checkpoint, no best epoch.
    """
    folder = folder_at(run)
    config = folder.config
    own = config.seeds[0] if seed is None else seed
    if own not in config.seeds:
        raise UserError(f"seed={own} is not in this run; it has {config.seeds}.")
    if best and not config.trainer.keep_best:
        raise UserError(f"{short(str(run))} keeps its last weights: see trainer.keep_best.")
    saved, row = folder.weights()["tensors"], config.seeds.index(own)
    saved = of_best_epochs(saved) if best else saved
    cpu = torch.device("cpu")
    people = population_of(config, [Row(own, config.scalars())], cpu, "torch")
    snapshot = {name: tensor[row : row + 1] for name, tensor in saved.items()}
    if not people.fits(slice(None), snapshot):
        raise folder.unusable("checkpoint.pt", "is another network's")
    people.restore(slice(None), snapshot)
    descending = {name for name, p in people.parameters.items() if p.moves == "descent"}
    pool = data_of(config).pool("train", 1, [own])
    items = config.task.items_per_example
    rule, learning = people.part(slice(0, 1)).rule, descending.union(people.trained_names)
    return Network(
        people.layers, rule, config.task.objective, people.tensors, learning, pool, items
    )


def export(run: str | Path, seed: int | None, to: Path, best: bool = False) -> None:
    """A network in a file, as its ending says: all its tensors (.safetensors), or a program that
    torch.export has made of it, for batches of any size (.pt2). Raises UserError."""
    network = load(run, seed, best)
    if to.suffix == ".safetensors":
        try:
            from safetensors.torch import save
        except ModuleNotFoundError:
            raise UserError(
                f"{to} needs safetensors: pip install 'fabench[safetensors]'."
            ) from None
        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        content = save(tensors, metadata={"run": Path(run).absolute().name})
    elif to.suffix == ".pt2":
        example = torch.zeros(2, len(network.input_mean))
        batch: Any = torch.export.Dim.DYNAMIC
        program = torch.export.export(network.eval(), (example,), dynamic_shapes=({0: batch},))
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        content = buffer.getvalue()
    else:
        raise UserError(f"{to}: a file of weights ends in .safetensors, a program in .pt2.")
    with whole_file(to) as file:
        file.write(content)
