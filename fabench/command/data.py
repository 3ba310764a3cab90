"""``fabench data``: which image datasets are here, and fetching one."""

from dataclasses import replace

from fabench.dataset.base.given import GivenDataset
from fabench.dataset.base.images import ImageDataset, Status
from fabench.run import registry
from fabench.run.interruption import something_to_tidy_up
from fabench.schema import UserError


def report(data_dir: str | None = None) -> list[Status]:
    """Every image dataset's status, by name; nothing is fetched. UserError: no such data_dir."""
    found = {name: registry.find("dataset", name) for name in registry.names("dataset")}
    return [
        _dataset(name).status(data_dir)
        for name, cls in found.items()
        if issubclass(cls, ImageDataset) and not issubclass(cls, GivenDataset)
    ]


def fetch(name: str, data_dir: str | None = None) -> Status:
    """Make sure that a dataset is on this machine: fetched into the cache if no folder has it;
    ``where`` says from where.

    Raises UserError: an unknown name, or whatever ``load`` raises.
    """
    dataset = _dataset(name)
    something_to_tidy_up()
    where = dataset.load(data_dir).source
    return replace(dataset.status(data_dir), where=where)


def _dataset(name: str) -> ImageDataset:
    found = registry.find("dataset", name)
    if not issubclass(found, ImageDataset):
        raise UserError(f"dataset={name} is drawn from the seed: there is nothing to fetch.")
    if issubclass(found, GivenDataset):
        raise UserError(f"dataset={name} is your own, at dataset.path: there is nothing to fetch.")
    dataset: ImageDataset = registry.build("dataset", {"name": name})
    return dataset
