import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fabench.loss import binary_cross_entropy


def normal(*shape, sd=1.0, dtype=torch.float64):
    return sd * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("soft", [False, True], ids=["hard targets", "soft targets"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_value_and_error_are_torchs(outputs, soft):
    a = normal(2, 50, outputs, sd=5.0).requires_grad_()
    y = torch.rand(a.shape, generator=torch.Generator().manual_seed(1), dtype=a.dtype)
    y = y if soft else y.round()
    loss, e = binary_cross_entropy(a.detach(), y)
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
    loss, e = binary_cross_entropy(a, y)
    np.testing.assert_allclose(loss[:, 0], np.log([2, 4 / 3, 4]))
    np.testing.assert_allclose(e[:, 0, 0], [-1 / 2, -1 / 4, 3 / 4])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits(dtype):
    a = torch.tensor([-1e30, -1e4, -200, 200, 1e4, 1e30], dtype=dtype).view(1, 6, 1)
    for y, wrong in ((0.0, a > 0), (1.0, a < 0)):
        loss, e = binary_cross_entropy(a, torch.full_like(a, y))
        torch.testing.assert_close(loss, (a.abs() * wrong).squeeze(-1))
        torch.testing.assert_close(e, wrong.to(dtype) * (1 - 2 * y))


def test_confident_examples_keep_their_digits_in_float32():
    """Right with a logit of 8 to 30: the loss is small but has float32's relative precision, as
    torch's has. Rounding in the sum of two large numbers must not swamp it."""
    a = torch.arange(8.0, 31.0).view(1, -1, 1)
    for sign, y in ((1, 1.0), (-1, 0.0)):
        loss, _ = binary_cross_entropy(sign * a, torch.full_like(a, y))
        exact = np.log1p(np.exp(-a.double().numpy())).squeeze(-1)
        np.testing.assert_allclose(loss, exact, rtol=1e-5)
