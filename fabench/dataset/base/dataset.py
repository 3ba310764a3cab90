"""What every dataset is."""

from abc import ABC, abstractmethod
from typing import ClassVar

from fabench.dataset.base.items import Data


class Dataset(ABC):
    """Labelled items. A subclass is a frozen pydantic dataclass, its sizes known unloaded.

    Labels are 0 to n_classes - 1; a teacher has targets instead, and no classes.
    """

    name: str
    n_train: int
    n_test: int
    n_classes: ClassVar[int]
    difficulties: ClassVar[tuple[str, ...]] = ()
    """What makes an item difficult: what a curriculum may sort training items by."""

    @property
    @abstractmethod
    def n_inputs(self) -> int:
        """How many values an item has."""

    @property
    def item_shape(self) -> tuple[int, ...]:
        """(length,) of a vector, (channels, rows, columns) of an image."""
        return (self.n_inputs,)

    @property
    def within_0_and_1(self) -> bool:
        """Whether all values are in [0, 1]."""
        return False

    def check_validation(self) -> None:
        """Raises UserError if there is nothing for validation data."""
        return

    @abstractmethod
    def load(self, data_dir: str | None = None) -> Data:
        """The data, verified. Files are looked for in ``data_dir`` first and fetched if need be.

        Raises UserError.
        """
