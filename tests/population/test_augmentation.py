"""Crops and mirroring, beside a NumPy loop that pads, slices and mirrors image by image.

Axes: S data streams, N examples, k images an example, C channels, H rows, W columns.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fabench.dataset.base.images import Images
from fabench.dataset.base.items import Augmentation
from fabench.population.augmentation import draw_views
from fabench.population.examples import Examples, standardized
from fabench.population.precision import NumberFormat
from fabench.randomness import generator
from fabench.task.parity import Parity

CPU = torch.device("cpu")
SHAPE = C, H, W = 3, 5, 7
N = 30
SCALINGS = ["standardized", "standardized_per_channel", "unit"]


def make(crop=2, flip=True, seeds=(0, 1), scaling="standardized", precision="fp32", dtype="uint8"):
    """Examples of two images each; no pixel is black."""
    rng = np.random.default_rng(0)
    train, test = (
        torch.from_numpy(rng.integers(1, 256, (n, *SHAPE)).astype(dtype)) for n in (N, 12)
    )
    labels = torch.from_numpy(rng.integers(0, 10, N).astype(np.uint8))
    augmentation = Augmentation(SHAPE, crop, flip) if crop or flip else None
    images = Images(
        train, labels, test, labels[:12], "here", 10, 255, scaling, augmentation=augmentation
    )
    task = Parity(name="parity", k=2)
    return Examples(images, task, seeds, CPU, NumberFormat(precision, CPU))


def inputs(examples, split="train", epoch=1, size=8, **limit):
    """x [S, N, k, C, H, W] of an epoch."""
    batches = examples.batches(examples.epoch(split, epoch, **limit), size)
    return torch.cat([x.clone() for x, _ in batches], 1).unflatten(2, (2, *SHAPE))


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("crop, flip", [(2, True), (1, False), (0, True), (4, True)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_beside_a_loop(scaling, crop, flip, dtype):
    examples = make(crop, flip, scaling=scaling, dtype=dtype)
    pixels = examples.data.train_images.numpy().astype(np.float64)
    axes = (0, 2, 3) if scaling == "standardized_per_channel" else None
    mean, std = (f(pixels, axes, keepdims=True)[0] for f in (np.mean, np.std))
    if scaling == "unit":
        mean, std = 0, 255
    x = inputs(examples, epoch=3)
    table = examples.epoch("train", 3).table
    for s, seed in enumerate(examples.seeds):
        crops = generator(seed, "crop", 3).integers((2 * crop + 1) ** 2, size=(N, 2))
        mirrored = generator(seed, "flip", 3).integers(2, size=(N, 2))
        for n in range(N):
            for k in range(2):
                padded = np.pad(pixels[table[s, n, k]], ((0, 0), (crop, crop), (crop, crop)))
                top, left = divmod(crops[n, k], 2 * crop + 1)
                image = padded[:, top : top + H, left : left + W]
                if flip and mirrored[n, k]:
                    image = image[:, :, ::-1]
                expected = (image - mean) / std
                np.testing.assert_allclose(x[s, n, k], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_s_pool_of_operands_gives_the_same_batches(monkeypatch, scaling, precision):
    monkeypatch.setattr("fabench.population.precision.cpu_has_bf16", lambda: True)
    examples = make(scaling=scaling, precision=precision)
    epoch = examples.epoch("train", 1)
    ready = replace(epoch, pool=standardized(epoch.pool, examples.operand))
    for (ours, _), (theirs, _) in zip(
        examples.batches(ready, 16), examples.batches(epoch, 16), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_every_crop_is_as_likely_and_half_of_the_images_are_mirrored():
    views = draw_views(Augmentation(SHAPE, 1, True), 0, 1, (9000, 2))
    counts = np.bincount(views.flatten(), minlength=18)
    assert len(counts) == 18 and abs(counts - 1000).max() < 5 * np.sqrt(1000)
    assert set(draw_views(Augmentation(SHAPE, 1, False), 0, 1, (200, 2)).flatten() % 2) == {0}


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_the_test_split_is_as_it_was(epoch):
    assert torch.equal(inputs(make(), "test", epoch), inputs(make(0, False), "test", epoch))
    held_out = make()
    held_out.data = held_out.data.hold_out()
    plain = make(0, False)
    plain.data = plain.data.hold_out()
    assert torch.equal(inputs(held_out, "test", epoch), inputs(plain, "test", epoch))
    for examples in (held_out, plain):  # as early stopping has them, beside the test's
        examples.data = examples.data.hold_out(as_test=False)
    assert torch.equal(inputs(held_out, "validation", epoch), inputs(plain, "validation", epoch))
    assert not torch.equal(inputs(held_out, "train", epoch), inputs(plain, "train", epoch))


def test_seed_and_epoch_decide_and_places_keep_their_views():
    examples = make(seeds=(5, 6, 5))
    views = {
        (seed, epoch): examples.epoch("train", epoch).views[s]
        for s, seed in enumerate((5, 6))
        for epoch in (0, 1, 2)
    }
    for one in views:
        for other in views:
            same = (views[one] == views[other]).double().mean()
            assert same == 1 if one == other else same < 0.2, (one, other)
    alone = make(seeds=(6,))
    assert torch.equal(inputs(alone)[0], inputs(examples)[1])
    assert torch.equal(inputs(examples, size=N)[:, :11], inputs(examples, size=4, n_examples=11))
    later = torch.cat([x.clone() for x, _ in examples.batches(examples.epoch("train", 1), 8, 2)], 1)
    assert torch.equal(later.unflatten(2, (2, *SHAPE)), inputs(examples)[:, 16:])
