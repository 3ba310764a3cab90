"""Batch normalisation of a population, against torch.nn, network by network."""

import pytest
import torch
from torch import nn

from fabench.model.layer.normalization import normalize

R, B, C = 3, 6, 4
SHAPES = {"dense": (C,), "images": (C, 3, 2)}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def module(shape, r, gain, shift):
    norm = (nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d)(C).double()
    norm.weight.data, norm.bias.data = gain[r, 0].clone(), shift[r, 0].clone()
    return norm


@every_shape
def test_outputs_gradients_and_running_statistics_are_torchs(shape):
    rng = torch.Generator().manual_seed(0)
    gain, shift = torch.randn(2, R, 1, C, generator=rng, dtype=torch.float64)
    running = {"mean": torch.zeros_like(gain), "variance": torch.ones_like(gain)}
    modules = [module(shape, r, gain, shift) for r in range(R)]
    for training in (True, True, False):
        s, delta = torch.randn(2, R, B, *shape, generator=rng, dtype=torch.float64)
        norm = normalize(s, gain, shift, **running, training=training)
        below = norm.back(delta)
        for r, own in enumerate(modules):
            own.train(training)
            own.zero_grad()
            x = s[r].clone().requires_grad_()
            y = own(x)
            y.backward(delta[r])
            torch.testing.assert_close(norm.output[r], y.detach())
            torch.testing.assert_close(below[r], x.grad)
            torch.testing.assert_close(norm.slopes["gain"][r, 0], own.weight.grad)
            torch.testing.assert_close(norm.slopes["shift"][r, 0], own.bias.grad)
            torch.testing.assert_close(norm.running["mean"][r, 0], own.running_mean)
            torch.testing.assert_close(norm.running["variance"][r, 0], own.running_var)
        running = norm.running


def test_one_value_has_no_variance():
    s = torch.randn(R, 1, C)
    gain, shift = torch.ones(R, 1, C), torch.zeros(R, 1, C)
    norm = normalize(s, gain, shift, shift, 2 * gain, training=True)
    assert torch.equal(norm.running["variance"], 2 * gain)
    torch.testing.assert_close(norm.running["mean"], 0.1 * s)
    torch.testing.assert_close(norm.output, shift, rtol=0, atol=1e-3)
