"""Own images in folders. Oracle: Pillow on each file, torchvision's ImageFolder."""

import numpy as np
import PIL.Image
import pytest
from torchvision.datasets import ImageFolder

from fabench.dataset import folder
from fabench.dataset.folder import Folder
from fabench.schema import UserError

pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture(autouse=True)
def forget():
    folder._read.cache_clear()


def make(path, **settings):
    return Folder("folder", path=str(path), **settings)


def draw(file, seed=0, shape=(9, 7, 3)):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(file)


def images_of(tensor, labels):
    """As a set: the order is another."""
    pairs = zip(tensor.numpy(), labels.tolist(), strict=True)
    return sorted((label, image.tobytes()) for image, label in pairs)


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("size", [4, 9])
def test_images_are_pillows_and_labels_torchvisions(own_data, size, colour):
    data = make(own_data["folder"], size=size, colour=colour).load()
    for split, images, labels in (
        ("train", data.train_images, data.train_labels),
        ("test", data.test_images, data.test_labels),
    ):
        expected = []
        for file, label in ImageFolder(own_data["folder"] / split).samples:
            image = PIL.Image.open(file).convert("RGB" if colour else "L")
            pixels = np.asarray(image.resize((size, size), PIL.Image.Resampling.BILINEAR))
            pixels = pixels.transpose(2, 0, 1) if colour else pixels[None]
            expected.append((label, np.ascontiguousarray(pixels).tobytes()))
        assert images_of(images, labels) == sorted(expected)
    assert data.train_labels.tolist() != sorted(data.train_labels.tolist())  # for what is held out


def test_sizes_and_names_are_known_unloaded(own_data):
    dataset = make(own_data["folder"], size=6, downsample=2)
    assert (dataset.n_train, dataset.n_test, dataset.n_classes) == (9, 3, 3)
    assert (dataset.file_shape, dataset.item_shape) == ((3, 6, 6), (3, 3, 3))
    assert dataset.class_names == ("a", "b", "c")


def test_one_folder_is_split_by_class(tmp_path):
    for number in range(10):
        draw(tmp_path / "all/x" / f"{number}.png", number)
    for number in range(3):
        draw(tmp_path / "all/y" / f"{number}.png", 100 + number)
    data = make(tmp_path / "all", test_share=0.3, size=9).load()
    assert np.bincount(data.train_labels).tolist() == [7, 2]
    assert np.bincount(data.test_labels).tolist() == [3, 1]
    train = images_of(data.train_images, data.train_labels)
    test = images_of(data.test_images, data.test_labels)
    assert len(set(train) | set(test)) == 13
    folder._read.cache_clear()
    again = make(tmp_path / "all", test_share=0.3, size=9).load()
    assert images_of(again.test_images, again.test_labels) == test
    most = make(tmp_path / "all", test_share=0.99, size=9)
    assert (most.n_train, most.n_test) == (2, 11)


def test_what_was_read_is_kept_until_a_file_changes(tmp_path, monkeypatch, caplog):
    for name in "ab":
        for number in range(3):
            draw(tmp_path / "all" / name / f"{number}.png", ord(name) + number)
    first = make(tmp_path / "all")
    [kept] = (tmp_path / "cache/fabench/folder").iterdir()
    folder._read.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(folder, "read_image", None)
        assert make(tmp_path / "all").sha256 == first.sha256
    kept.write_bytes(kept.read_bytes()[:-50])
    folder._read.cache_clear()
    assert make(tmp_path / "all").sha256 == first.sha256
    assert "damaged" in caplog.text
    draw(tmp_path / "all/a/0.png", 9)
    assert make(tmp_path / "all").sha256 != first.sha256
    with pytest.raises(UserError, match="holds other data"):
        make(tmp_path / "all", sha256=first.sha256)


def test_identity_follows_pixels(make_config, own_data):
    def identity(**settings):
        own = {f"dataset__{key}": value for key, value in settings.items()}
        return make_config(
            dataset="folder", dataset__path=str(own_data["folder"]), **own
        ).identity()

    first = identity(size=9)
    assert identity(size=9, test_share=0.5) == first  # there are train/ and test/
    assert len({first, identity(size=8), identity(size=9, colour=False)}) == 3


def test_refusals(tmp_path, own_data):
    def refused(words, path=tmp_path / "all", **settings):
        with pytest.raises(UserError, match=words):
            make(path, **settings)

    refused("not a folder")
    (tmp_path / "all").mkdir()
    refused("no folder for each class")
    draw(tmp_path / "all/a/1.png")
    refused("class a has one image")
    draw(tmp_path / "all/a/2.png")
    refused("one class")
    (tmp_path / "all/b").mkdir()
    refused("class b has no image")
    draw(tmp_path / "all/b/1.png", 1)
    (tmp_path / "all/b/2.jpg").write_bytes(b"no image")
    refused("2.jpg cannot be read as an image")
    (tmp_path / "all/b/2.jpg").write_bytes((tmp_path / "all/b/1.png").read_bytes()[:-40])
    refused("2.jpg cannot be read as an image")
    (tmp_path / "both/train/a").mkdir(parents=True)
    refused("has train/ and no test/", tmp_path / "both")
    draw(tmp_path / "both/train/a/1.png")
    draw(tmp_path / "both/test/b/1.png")
    refused("class a is not in both", tmp_path / "both")
    refused("must be less than the 4 rows", own_data["folder"], size=4, crop=4)


def test_pixels_of_sixteen_bits_keep_their_order(tmp_path):
    """Their high byte, as colour images of sixteen bits have it; not what is clipped to 255."""
    pixels = np.random.default_rng(0).integers(0, 2**16, (6, 6), dtype=np.uint16)
    PIL.Image.fromarray(pixels).save(tmp_path / "deep.png")
    found = folder.read_image(str(tmp_path / "deep.png"), (1, 6, 6))
    np.testing.assert_array_equal(found[0], pixels // 256)
    PIL.Image.fromarray(np.zeros((6, 6), np.float32)).save(tmp_path / "real.tif")
    with pytest.raises(UserError, match=r"real\.tif has pixels of 32 bits: store 8 or 16"):
        folder.read_image(str(tmp_path / "real.tif"), (1, 6, 6))
