"""What the classes and the functions behind ``fabench data`` promise."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fabench.command.data import fetch, report
from fabench.dataset.base.images import Images
from fabench.dataset.digits import Digits
from fabench.dataset.mnist import Mnist
from fabench.population.examples import Examples
from fabench.population.population import NumberFormat
from fabench.run import registry
from fabench.schema import UserError
from fabench.task.parity import Parity

NAMES, DRAWN = (
    ["cifar10", "cifar100", "digits", "fashion_mnist", "mnist"],
    [
        "clusters", "encoder", "family_trees", "irrelevant_inputs", "linear_teacher",
        "nonlinear_teacher", "shapes", "shifter", "sparse_parity", "two_gaussians", "xor",
    ],
)  # fmt: skip


def images(train):
    empty = torch.zeros(0, dtype=torch.uint8)
    return Images(train, empty, empty, empty, "here", 10, 255)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (40, 28, 28), (5, 3, 32, 32)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_moments_equal_numpy(shape, dtype):
    train = np.random.default_rng(1).integers(0, 256, shape, np.uint8).astype(dtype)
    train = train / dtype(4) if dtype == np.float32 else train
    got = images(torch.from_numpy(train))
    assert got.pixel_mean == pytest.approx(train.mean(dtype=np.float64), rel=1e-14)
    assert got.pixel_std == pytest.approx(train.astype(np.float64).std(), rel=1e-13)


def test_moments_are_computed_once(monkeypatch):
    got = images(torch.ones(2, 2, 2, dtype=torch.uint8))
    assert (got.pixel_mean, got.pixel_std) == (1, 0)
    monkeypatch.setattr(torch, "bincount", lambda *_, **__: pytest.fail("again"))
    assert (got.pixel_mean, got.pixel_std) == (1, 0)


def test_the_registry_lists_datasets_only():
    assert registry.names("dataset") == sorted([*NAMES, *DRAWN, "arrays", "folder"])


@pytest.mark.parametrize("name", NAMES)
def test_sizes_known_before_loading_are_right(name, real_data):
    dataset = registry.build("dataset", {"name": name})
    if dataset.status(real_data).state == "missing":
        pytest.skip(f"there is no {name} here")
    loaded = dataset.load(real_data)
    for part, n in (("train", dataset.n_train), ("test", dataset.n_test)):
        pixels, labels = getattr(loaded, f"{part}_images"), getattr(loaded, f"{part}_labels")
        assert pixels.reshape(n, *dataset.image_shape).shape[-2:] == pixels.shape[-2:]
        assert labels.shape == (n,)
        assert pixels.dtype == labels.dtype == torch.uint8
        assert pixels.max() == dataset.max_pixel == loaded.max_pixel
        assert labels.unique().tolist() == list(range(dataset.n_classes))
    assert loaded.n_classes == dataset.n_classes and loaded.source


# Settings


@pytest.mark.parametrize("downsample", [1, 2, 4])
@pytest.mark.parametrize("scaling", ["standardized", "standardized_per_channel", "unit"])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("held_out", [False, True])
def test_inputs_are_averaged_and_scaled_pixels(downsample, scaling, split, held_out):
    """Against NumPy, image by image: the moments are those of what is trained on."""
    plain = Digits("digits").load()
    data = Digits("digits", scaling=scaling, downsample=downsample).load()
    plain, data = (d.hold_out() if held_out else d for d in (plain, data))
    averaged = {}
    for part in ("train", "test"):
        pixels = getattr(plain, f"{part}_images").numpy().astype(np.float64)
        side = 8 // downsample
        squares = pixels.reshape(-1, side, downsample, side, downsample)
        averaged[part] = squares.mean((2, 4)).reshape(len(pixels), side**2)
    mean, sd = (0, 16) if scaling == "unit" else (averaged["train"].mean(), averaged["train"].std())

    task = Parity(name="parity", k=2)
    examples = Examples(
        data, task, [3], torch.device("cpu"), NumberFormat("fp32", torch.device("cpu"))
    )
    epoch = examples.epoch(split, 1, 50)
    x, _ = next(examples.batches(epoch, 50))
    expected = (averaged[split][epoch.table[0]].reshape(50, -1) - mean) / sd
    np.testing.assert_allclose(x[0], expected, rtol=1e-5, atol=1e-6)


def test_pixels_stay_bytes_where_nothing_is_averaged():
    assert Digits("digits", scaling="unit").load().train_images.dtype == torch.uint8
    assert Digits("digits", downsample=2).load().train_images.dtype == torch.float32


def test_squares_are_averaged_within_a_channel():
    dataset = registry.build("dataset", {"name": "cifar10", "downsample": 8})
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), np.uint8)
    labels = np.zeros(5, np.uint8)
    arrays = {"train_images": pixels, "train_labels": labels}
    arrays |= {"test_images": pixels[:2], "test_labels": labels[:2]}
    values = dataset._images(arrays, "here").pool("train", 0, [0]).values
    assert dataset.image_shape == (3, 4, 4) and values.shape == (5, dataset.n_inputs) == (5, 48)
    for channel, row, column in np.ndindex(3, 4, 4):
        square = pixels[4, channel, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert values[4, 16 * channel + 4 * row + column] == square.mean()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_channel_is_standardized_by_its_own_training_pixels(dtype):
    """Against NumPy, channel by channel, of channels far apart."""
    rng = np.random.default_rng(0)
    low, high = np.array([[0, 100, 30], [50, 250, 33]])[..., None, None]
    train = rng.integers(low, high, (40, 3, 4, 5)).astype(np.float64)
    test = rng.integers(0, 256, (9, 3, 4, 5)).astype(np.float64)
    labels = torch.zeros(40, dtype=torch.uint8)
    data = Images(
        torch.from_numpy(train).to(dtype), labels, torch.from_numpy(test).to(dtype), labels[:9],
        "here", 10, 255, "standardized_per_channel",
    )  # fmt: skip
    task = Parity(name="parity", k=2)
    cpu = torch.device("cpu")
    examples = Examples(data, task, [3], cpu, NumberFormat("fp32", cpu))
    mean, std = (f(train, (0, 2, 3)).reshape(3, 1, 1) for f in (np.mean, np.std))
    for split, pixels in (("train", train), ("test", test)):
        epoch = examples.epoch(split, 1)
        x, _ = next(examples.batches(epoch, 40))
        expected = ((pixels - mean) / std)[epoch.table[0]].reshape(len(pixels), -1)
        np.testing.assert_allclose(x[0], expected, rtol=1e-5, atol=1e-5)


def test_the_network_has_an_input_for_every_average(make_config):
    config = make_config(dataset="mnist", dataset__downsample=2, k=3)
    assert config.dataset.image_shape == (1, 14, 14)
    assert config.layers()[0].fan_in == 3 * 14 * 14


@pytest.mark.parametrize(
    "settings, sentence",
    [
        ({"downsample": 8}, "downsample=8: it must divide the 28 rows and 28 columns of mnist."),
        ({"downsample": 0}, "downsample=0: it should be greater than or equal to 1."),
        ({"downsample": 2.0}, "downsample=2.0: it should be a valid integer."),
        (
            {"scaling": "none"},
            "scaling=none: it should be 'standardized', 'standardized_per_channel' or 'unit'.",
        ),
        (
            {"crop": 7, "downsample": 4},
            "crop=7: it must be less than the 7 rows and 7 columns of mnist.",
        ),
        ({"flip": 1}, "flip=1: it should be a valid boolean."),
        ({"scale": "unit"}, "scale is not a setting; did you mean dataset.scaling?"),
    ],
    ids=str,
)
def test_refusals(settings, sentence):
    with pytest.raises(UserError) as raised:
        registry.build("dataset", {"name": "mnist", **settings})
    assert str(raised.value) == f"dataset.{sentence}"


# report and fetch, on a tiny MNIST


@pytest.fixture(autouse=True)
def tiny(request, monkeypatch):
    if "archive" in request.fixturenames:
        monkeypatch.setattr(Mnist, "archive", request.getfixturevalue("archive"))


def status(name, data_dir=None):
    return {row.name: row for row in report(data_dir)}[name]


def test_report_present(archive, folder):
    row = status("mnist", str(folder))
    assert (row.state, row.where) == ("present", str(folder / "MNIST" / "raw"))
    known = {name: f"sha256 {digest}" for name, digest in archive.sha256.items()}
    assert {array.name: array.digest for array in row.arrays} == known
    assert not any(array.problem for array in row.arrays)


def test_report_missing_names_the_places(archive, tmp_path):
    row = status("mnist", str(tmp_path))
    assert row.state == "missing" and row.arrays == []
    assert str(tmp_path) in row.where and "xdg" in row.where


def test_report_corrupt_says_which(archive, folder):
    raw = folder / "MNIST" / "raw"
    content = (raw / "train-labels-idx1-ubyte").read_bytes()
    (raw / "train-labels-idx1-ubyte").write_bytes(content[:-1] + b"\xff")
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"junk")
    row = status("mnist", str(folder))
    rows = {array.name: array for array in row.arrays}
    assert row.state == "corrupt" and rows["train_images"].problem is None
    assert rows["train_labels"].digest.startswith("sha256 ")
    assert rows["train_labels"].digest != f"sha256 {archive.sha256['train_labels']}"
    assert "SHA-256" in rows["train_labels"].problem
    assert rows["test_labels"].digest is None and "IDX" in rows["test_labels"].problem


def test_report_covers_all_and_fetches_nothing(tmp_path):
    rows = report()
    assert [row.name for row in rows] == NAMES
    present = [row.name for row in rows if row.state == "present"]
    assert present == ["digits"] and {row.state for row in rows} == {"present", "missing"}
    assert not (tmp_path / "xdg").exists()


def test_report_of_a_folder_that_does_not_exist():
    with pytest.raises(UserError, match="not a folder"):
        report("/nowhere")


def test_fetch_keeps_it_in_the_cache(archive, arrays, cache, put, monkeypatch):
    from fabench.dataset.files import download

    monkeypatch.setattr(
        download, "from_torchvision", lambda name, root: put(root / name / "raw", arrays)
    )
    row = fetch("mnist")
    assert (row.state, row.where) == ("present", f"torchvision's download, kept in {cache}")
    assert status("mnist") == replace(row, where=str(cache)) == fetch("mnist")


@pytest.mark.parametrize("name", DRAWN)
def test_there_is_nothing_to_fetch_of_drawn_data(name):
    with pytest.raises(UserError, match=f"dataset={name} is drawn from the seed"):
        fetch(name)


def test_fetch_of_an_unknown_dataset():
    with pytest.raises(UserError, match="did you mean mnist"):
        fetch("minst")


@pytest.mark.parametrize("scaling", ["standardized", "standardized_per_channel"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_what_does_not_vary_is_divided_by_nothing(scaling, dtype):
    """Two channels, one of which is always 7."""
    pixels = torch.randint(0, 9, (20, 2, 3, 3), generator=torch.Generator().manual_seed(0))
    pixels[:, 1] = 7
    labels = torch.zeros(20, dtype=torch.uint8)
    images = Images(
        pixels.to(dtype), labels, pixels.to(dtype), labels, "here", 1, 255, scaling=scaling
    )
    pool = images.pool("train", 1, [0])
    x = (pool.values.double() - pool.mean) / pool.std
    assert x.isfinite().all()
    if scaling == "standardized_per_channel":
        assert (x[:, 9:] == 0).all() and x[:, :9].std(correction=0) == pytest.approx(1)
