"""Axes: R rows, S data streams, N examples, B batch, k images an example, P pixels an image."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from fabench.dataset.clusters import Clusters
from fabench.dataset.sparse_parity import SparseParity
from fabench.population.examples import Examples, standardized
from fabench.population.order import Order
from fabench.population.precision import NumberFormat
from fabench.task.parity import Parity

CPU = torch.device("cpu")
SPLITS = ["train", "test"]


@pytest.fixture(scope="module")
def build(make_images):
    """Examples of 40 training images of pixels 0 to 99 and 24 test images of pixels 150 to 255."""

    def make(seeds=(0, 1), k=3, precision="fp32", n_train=40):
        images, task = make_images(n_train), Parity(name="parity", k=k)
        return Examples(images, task, seeds, CPU, NumberFormat(precision, CPU))

    return make


def tensors(batches):
    """[R, N, I] and [R, N, C] of the batches, one after the other (their buffer is overwritten)."""
    parts = [(x.clone(), y.clone()) for x, y in batches]
    return torch.cat([x for x, _ in parts], 1), torch.cat([y for _, y in parts], 1)


def split_of(images, split):
    return (
        getattr(images, f"{split}_images").numpy().astype(np.float64),
        getattr(images, f"{split}_labels").numpy().astype(int),
    )


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("k", [1, 3])
def test_an_epoch_uses_every_image_once_in_every_place(build, k, split):
    epoch = build(k=k).epoch(split, 1)
    n = {"train": 40, "test": 24}[split]
    assert epoch.table.shape == (2, n, k)
    assert len(epoch) == n
    expected = torch.arange(n).view(1, n, 1).expand(2, n, k)
    assert torch.equal(epoch.table.sort(1).values, expected)


def test_seed_split_epoch_and_place_decide(build):
    """Tables of 24 that differ in one of them meet in about one place, as permutations do."""
    examples = build(seeds=(5, 6), n_train=24)
    tables = {
        (seed, split, number, place): examples.epoch(split, number).table[s, :, place]
        for s, seed in enumerate((5, 6))
        for split in SPLITS
        for number in (0, 1)
        for place in range(3)
    }
    for one, other in combinations(tables, 2):
        assert (tables[one] == tables[other]).sum() < 8, (one, other)


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_arguments_give_the_same_epoch(build, split):
    examples = build(seeds=(5, 6))
    first = examples.epoch(split, 2)
    examples.epoch(split, 3)
    for again in (examples.epoch(split, 2), build(seeds=(5, 6)).epoch(split, 2)):
        assert torch.equal(again.table, first.table)
        assert torch.equal(again.y, first.y)
    alone = build(seeds=(6,)).epoch(split, 2)
    assert torch.equal(alone.table[0], first.table[1])


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("k", [1, 3])
def test_a_batch_is_normalised_images_one_after_another(build, make_images, k, split):
    examples, images = build(k=k), make_images()
    epoch = examples.epoch(split, 1)
    x, y = tensors(examples.batches(epoch, 7))
    pixels, labels = split_of(images, split)
    train = images.train_images.numpy().astype(np.float64)
    for s in range(2):
        for n, row in enumerate(epoch.table[s].tolist()):
            side_by_side = np.concatenate([pixels[i].reshape(64) for i in row])
            expected = (side_by_side - train.mean()) / train.std()  # of the training set, always
            np.testing.assert_allclose(x[s, n], expected, rtol=1e-5, atol=1e-6)
            assert y[s, n].tolist() == [sum(labels[i] for i in row) % 2]
    assert 0.2 < y.mean() < 0.8


@pytest.mark.parametrize("split", SPLITS)
def test_no_test_image_is_trained_on(build, make_images, split):
    """Training pixels are below 100, test pixels from 150 on."""
    images = make_images()
    examples = build()
    x, _ = tensors(examples.batches(examples.epoch(split, 1), 16))
    pixels = (x * images.pixel_std + images.pixel_mean).round()
    low, high = {"train": (0, 99), "test": (150, 255)}[split]
    assert (pixels.min(), pixels.max()) == (low, high)


@pytest.mark.parametrize("split", SPLITS)
def test_no_validation_image_is_trained_on_and_no_test_image_is_seen(make_images, split):
    """Of 40 training images, number n with pixels of n: 34 are left, the last 6 are held out."""
    images = make_images()
    images.train_images[:] = torch.arange(40, dtype=torch.uint8).view(40, 1, 1)
    images.train_labels[:] = torch.arange(40) % 10
    held_out = images.hold_out()
    task = Parity(name="parity", k=2)
    examples = Examples(held_out, task, (0, 1), CPU, NumberFormat("fp32", CPU))
    x, y = tensors(examples.batches(examples.epoch(split, 1), 16))
    number = (x * held_out.pixel_std + held_out.pixel_mean).round().view(2, -1, 2, 64)
    expected = {"train": set(range(34)), "test": set(range(34, 40))}[split]
    assert set(number.flatten().int().tolist()) == expected
    assert torch.equal(y, (number[..., 0] % 10).sum(2, keepdim=True) % 2)
    assert held_out.pixel_mean == sum(range(34)) / 34  # of what is trained on, only
    three = images.hold_out(as_test=False)
    assert torch.equal(three.pool("test", 0, ()).labels, images.test_labels)
    for data in (three, held_out):
        assert data.pool("validation", 0, ()).values[:, 0].tolist() == list(range(34, 40))
        assert len(data.pool("train", 0, ()).labels) == 34


def test_what_is_not_shuffled_has_the_datasets_order(make_images):
    """In every epoch; the test data are as they were."""
    images, task = make_images(), Parity(name="parity", k=1)
    shuffled, plain = (
        Examples(images, task, (0, 1), CPU, NumberFormat("fp32", CPU), Order(shuffle))
        for shuffle in (True, False)
    )
    for number in (0, 1, 2):
        assert plain.epoch("train", number, 30).table.tolist() == [[[n] for n in range(30)]] * 2
        assert torch.equal(plain.epoch("test", number).table, shuffled.epoch("test", number).table)
    epoch = plain.epoch("train", 1)
    assert torch.equal(epoch.y[1, :, 0], images.train_labels.float() % 2)


def test_the_last_batch_is_short(build):
    examples = build()
    epoch = examples.epoch("train", 1)
    sizes = [(x.shape, y.shape) for x, y in examples.batches(epoch, 16)]
    assert sizes == [((2, n, 192), (2, n, 1)) for n in (16, 16, 8)]
    whole = tensors(examples.batches(epoch, 1000))
    for x, expected in zip(tensors(examples.batches(epoch, 16)), whole, strict=True):
        assert torch.equal(x, expected)


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_an_epoch_resumes_at_any_batch(build, start):
    examples = build()
    epoch = examples.epoch("train", 1)
    all_x, all_y = tensors(examples.batches(epoch, 16))
    rest = [(x.clone(), y) for x, y in examples.batches(epoch, 16, start)]
    assert len(rest) == 3 - start
    if rest:
        x, y = tensors(rest)
        assert torch.equal(x, all_x[:, 16 * start :])
        assert torch.equal(y, all_y[:, 16 * start :])


@pytest.mark.parametrize("seeds", [(0, 1, 0), (0, 0), (1, 0, 0, 1), (3, 1, 2)], ids=str)
def test_a_runs_data_depends_on_its_own_seed_only(build, seeds):
    examples = build(seeds=seeds)
    x, y = tensors(examples.batches(examples.epoch("train", 1), 16))
    assert x.shape[0] == len(set(seeds))  # runs that share a seed share their inputs
    x = x[examples.stream_of_row]
    assert x.shape[0] == y.shape[0] == len(seeds)
    for r, seed in enumerate(seeds):
        alone = build(seeds=(seed,))
        own_x, own_y = tensors(alone.batches(alone.epoch("train", 1), 16))
        assert torch.equal(x[r], own_x[0])
        assert torch.equal(y[r], own_y[0])
        for other in range(r):
            assert torch.equal(x[r], x[other]) == (seed == seeds[other])


def test_shared_seeds_share_the_table(build):
    assert build(seeds=(4, 2, 4)).epoch("train", 1).table.shape == (2, 40, 3)


@pytest.mark.parametrize("split", SPLITS)
def test_a_limit_takes_the_first_examples(build, split):
    examples = build()
    whole = examples.epoch(split, 1)
    for part in (examples.epoch(split, 1, 10), whole.first(10)):
        assert len(part) == 10
        assert torch.equal(part.table, whole.table[:, :10])
        assert torch.equal(part.y, whole.y[:, :10])
    assert len(examples.epoch(split, 1, 1000)) == len(whole)


def test_inputs_are_operands(build):
    examples, exact = build(precision="bf16"), build()
    for (x, y), (expected, _) in zip(
        *(e.batches(e.epoch("train", 1), 16) for e in (examples, exact)), strict=True
    ):
        assert torch.equal(x.float(), expected.bfloat16().float())
        assert y.dtype == torch.float32


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_s_pool_of_operands_gives_the_same_batches(build, monkeypatch, precision):
    """To the last bit; also where bf16 is the format of memory, not only a rounding."""
    monkeypatch.setattr("fabench.population.precision.cpu_has_bf16", lambda: True)
    examples = build(precision=precision)
    epoch = examples.epoch("train", 1)
    ready = replace(epoch, pool=standardized(epoch.pool, examples.operand))
    assert ready.pool.values.dtype == examples.operand.dtype
    assert epoch.pool.values.dtype == torch.uint8, "the data are as they were"
    for ours, theirs in zip(
        *(tensors(examples.batches(e, 16)) for e in (ready, epoch)), strict=True
    ):
        assert torch.equal(ours, theirs)


# -- Drawn vectors ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn():
    def make(seeds=(0, 1), held_out=False, **settings):
        bits = {"name": "sparse_parity", "n": 8, "k": 2, "n_train": 30, "n_test": 20} | settings
        data = SparseParity(**bits).load()
        data = data.hold_out() if held_out else data
        task = Parity(name="parity", k=1)
        return Examples(data, task, seeds, CPU, NumberFormat("fp32", CPU))

    return make


@pytest.mark.parametrize("split", SPLITS)
def test_a_stream_sees_its_own_vectors_with_their_labels(drawn, split):
    examples = drawn(seeds=(3, 5, 3))
    x, y = tensors(examples.batches(examples.epoch(split, 2), 7))
    assert x.shape == (2, {"train": 30, "test": 20}[split], 8) and y.shape[0] == 3
    for s, seed in enumerate((3, 5)):
        own_x, labels = examples.data.dataset.draw(seed, split, 2)
        order = examples.epoch(split, 2).table[s, :, 0].numpy() - s * len(labels)
        np.testing.assert_array_equal(x[s], own_x[order])  # not normalised
        np.testing.assert_array_equal(y[s, :, 0], labels[order])
    assert torch.equal(y[0], y[2])


def test_bf16_without_hardware_rounds_drawn_vectors_too(monkeypatch):
    monkeypatch.setattr("fabench.population.precision.cpu_has_bf16", lambda: False)
    data = Clusters("clusters", d=5, n_train=30, n_test=20, zeros=None).load()
    operand = NumberFormat("bf16", CPU)
    examples = Examples(data, Parity(name="parity", k=1), [0], CPU, operand)
    [(x, _)] = examples.batches(examples.epoch("train", 1), 30)
    assert x.dtype == torch.float32 and torch.equal(x, x.bfloat16().float())


def test_fresh_vectors_in_every_epoch(drawn):
    examples = drawn()
    first, second = (tensors(examples.batches(examples.epoch("train", n), 30)) for n in (1, 2))
    assert not torch.equal(first[0].sort(1).values, second[0].sort(1).values)


def test_validation_vectors_are_neither_training_nor_test_vectors(drawn):
    drawings = {
        (split, held_out): tensors(e.batches(e.epoch(split, 1), 30))[0][:, :20]
        for held_out in (False, True)
        for split in SPLITS
        for e in [drawn(n=40, held_out=held_out, n_train=20)]
    }
    rows = {key: set(map(tuple, x[0].tolist())) for key, x in drawings.items()}
    assert rows["train", True] == rows["train", False]
    kinds = (rows["train", True], rows["test", False], rows["test", True])
    assert not any(a & b for a, b in combinations(kinds, 2))
