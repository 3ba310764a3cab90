"""Image datasets that are kept in files."""

from typing import ClassVar

from fabench.dataset.base.images import ArrayStatus, ImageDataset, Images, Status
from fabench.dataset.files import idx, source


class FileDataset(ImageDataset):
    """A dataset kept in files: fabench.dataset.files.source says where they are looked for."""

    archive: ClassVar[source.Archive]
    max_pixel = 255

    def load(self, data_dir: str | None = None) -> Images:
        return self._images(*source.load(self.archive, data_dir))

    def status(self, data_dir: str | None = None) -> Status:
        paths, searched = source.locate(self.archive, data_dir)
        if not paths:
            where = " or ".join(map(str, searched)) or "a cache: this user has no home"
            return Status(self.name, "missing", f"not in {where}", [])
        arrays = [
            ArrayStatus(name, found.digest, str(found))
            if isinstance(found, idx.Corrupt)
            else ArrayStatus(name, found, None)
            for name, found in self.archive.verify(paths).items()
        ]
        return self._checked(str(next(iter(paths.values())).parent), arrays)


class IdxDataset(FileDataset):
    """Grey images in MNIST's format, of MNIST's sizes."""

    file_shape = (1, *source.IdxArchive.image_shape)
    n_train = source.IdxArchive.n_train
    n_test = source.IdxArchive.n_test
    n_classes = 10


class CifarDataset(FileDataset):
    """Photographs in colour: red, green and blue, 32 rows of 32 pixels each."""

    file_shape = (3, 32, 32)
    n_train = 50_000
    n_test = 10_000
