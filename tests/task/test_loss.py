import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from fabench.task.base import (
    BINARY_CROSS_ENTROPY,
    LOSSES,
    SIGMOID_SQUARED_ERROR,
    SOFTMAX_CROSS_ENTROPY,
    SQUARED_ERROR,
)


def normal(*shape, sd=1.0, dtype=torch.float64):
    return sd * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def value_and_error(loss, a, y):
    return loss.value(a, y), loss.error(a, y)


@pytest.mark.parametrize("soft", [False, True], ids=["hard targets", "soft targets"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_value_and_error_are_torchs(outputs, soft):
    a = normal(2, 50, outputs, sd=5.0).requires_grad_()
    y = torch.rand(a.shape, generator=torch.Generator().manual_seed(1), dtype=a.dtype)
    y = y if soft else y.round()
    loss, e = value_and_error(BINARY_CROSS_ENTROPY, a.detach(), y)
    expected = binary_cross_entropy_with_logits(a, y, reduction="none").sum(-1)
    assert loss.shape == (2, 50)
    assert e.shape == a.shape
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-8, atol=1e-12)
    expected.sum().backward()
    torch.testing.assert_close(e, a.grad, rtol=1e-12, atol=1e-15)


def test_numbers_by_hand():
    """a = 0: log 2, whatever y is; a = log 3, a probability of 3/4."""
    a = torch.tensor([[[0.0]], [[np.log(3)]], [[np.log(3)]]], dtype=torch.float64)
    y = torch.tensor([1.0, 1.0, 0.0]).double().view(3, 1, 1)
    loss, e = value_and_error(BINARY_CROSS_ENTROPY, a, y)
    np.testing.assert_allclose(loss[:, 0], np.log([2, 4 / 3, 4]))
    np.testing.assert_allclose(e[:, 0, 0], [-1 / 2, -1 / 4, 3 / 4])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits(dtype):
    a = torch.tensor([-1e30, -1e4, -200, 200, 1e4, 1e30], dtype=dtype).view(1, 6, 1)
    for y, wrong in ((0.0, a > 0), (1.0, a < 0)):
        loss, e = value_and_error(BINARY_CROSS_ENTROPY, a, torch.full_like(a, y))
        torch.testing.assert_close(loss, (a.abs() * wrong).squeeze(-1))
        torch.testing.assert_close(e, wrong.to(dtype) * (1 - 2 * y))


def test_confident_examples_keep_their_digits_in_float32():
    """Right with a logit of 8 to 30: the loss is small but has float32's relative precision, as
    torch's has. Rounding in the sum of two large numbers must not swamp it."""
    a = torch.arange(8.0, 31.0).view(1, -1, 1)
    for sign, y in ((1, 1.0), (-1, 0.0)):
        loss, _ = value_and_error(BINARY_CROSS_ENTROPY, sign * a, torch.full_like(a, y))
        exact = np.log1p(np.exp(-a.double().numpy())).squeeze(-1)
        np.testing.assert_allclose(loss, exact, rtol=1e-5)


# -- Several outputs -------------------------------------------------------------------------

TORCH = {
    "softmax_cross_entropy": lambda a, y: cross_entropy(
        a.flatten(0, 1), y.flatten(0, 1), reduction="none"
    ).view(a.shape[:2]),
    "sigmoid_cross_entropy": lambda a, y: binary_cross_entropy_with_logits(
        a, y, reduction="none"
    ).sum(2),
    "squared_error": lambda a, y: mse_loss(a, y, reduction="none").sum(2) / 2,
    "sigmoid_squared_error": lambda a, y: mse_loss(a.sigmoid(), y, reduction="none").sum(2) / 2,
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("soft", [False, True], ids=["one-hot targets", "soft targets"])
@pytest.mark.parametrize("outputs", [2, 5])
def test_every_loss_is_torchs_and_its_error_autograds(name, outputs, soft):
    """Three runs of seven examples: no axis can stand for another."""
    a = normal(3, 7, outputs, sd=5.0).requires_grad_()
    y = torch.rand(a.shape, generator=torch.Generator().manual_seed(1), dtype=a.dtype)
    y = y / y.sum(2, keepdim=True) if soft else (y == y.amax(2, keepdim=True)).double()
    loss, e = value_and_error(LOSSES[name], a.detach(), y)
    expected = TORCH[name](a, y)
    assert loss.shape == (3, 7) and e.shape == a.shape
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-8, atol=1e-12)
    expected.sum().backward()
    torch.testing.assert_close(e, a.grad, rtol=1e-12, atol=1e-15)


def test_softmax_and_squares_by_hand():
    """Logits log 1, log 2, log 5: probabilities 1/8, 2/8, 5/8."""
    a = torch.tensor([1.0, 2.0, 5.0]).double().log().view(1, 1, 3)
    loss, e = value_and_error(
        SOFTMAX_CROSS_ENTROPY, a, torch.tensor([0.0, 1.0, 0.0]).double().view(1, 1, 3)
    )
    np.testing.assert_allclose(loss, [[np.log(4)]])
    np.testing.assert_allclose(e[0, 0], [1 / 8, -3 / 4, 5 / 8])
    a, y = (torch.tensor(v).view(1, 1, 2) for v in ([3.0, -1.0], [1.0, 0.0]))
    loss, e = value_and_error(SQUARED_ERROR, a, y)
    assert (loss.tolist(), e.tolist()) == ([[2.5]], [[[2.0, -1.0]]])


def test_squares_of_sigmoids_by_hand():
    """Logits 0 and log 3: sigmoids 1/2 and 3/4, with slopes 1/4 and 3/16."""
    a = torch.tensor([0.0, np.log(3)]).double().view(1, 1, 2)
    y = torch.tensor([1.0, 0.0]).double().view(1, 1, 2)
    loss, e = value_and_error(SIGMOID_SQUARED_ERROR, a, y)
    np.testing.assert_allclose(loss, [[1 / 8 + 9 / 32]])
    np.testing.assert_allclose(e[0, 0], [-1 / 8, 9 / 64])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_softmax_of_extreme_logits(size, dtype):
    a = torch.tensor([[size, -size, 0.0], [-size, 0.0, -size]], dtype=dtype).view(1, 2, 3)
    for label, losses in enumerate(([0, size], [2 * size, 0], [size, size])):
        y = torch.eye(3, dtype=dtype)[label].expand_as(a)
        loss, e = value_and_error(SOFTMAX_CROSS_ENTROPY, a, y)
        torch.testing.assert_close(loss, torch.tensor([losses], dtype=dtype))
        largest = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]], dtype=dtype)
        torch.testing.assert_close(e, largest - y)
