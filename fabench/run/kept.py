"""Networks as they were in an epoch of each row's own, kept beside those of now."""

from fabench.population.population import Snapshot


class Kept:
    """Tensors of the R rows of a population; ``prefix``: before their names in a checkpoint."""

    def __init__(self, prefix: str, tensors: Snapshot) -> None:
        self.prefix, self.tensors = prefix, tensors

    def take(self, rows: list[int], tensors: Snapshot) -> None:
        """Of these rows the tensors of now."""
        for name, tensor in tensors.items():
            self.tensors[name][rows] = tensor

    def saved(self, rows: slice) -> Snapshot:
        """What a checkpoint has of these rows."""
        return {self.prefix + name: t[rows].clone() for name, t in self.tensors.items()}

    def put(self, rows: slice, saved: Snapshot) -> None:
        """These rows as a checkpoint has them."""
        for name, tensor in self.tensors.items():
            tensor[rows] = saved[self.prefix + name]
