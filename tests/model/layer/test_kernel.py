"""The kernels of matrix products, and who chooses them.

Oracle: NumPy's products in float64.
"""

import pytest
import torch

from fabench.model.layer import kernel
from fabench.population.population import Row
from fabench.run.trainer import population_of

CPU = torch.device("cpu")

there = pytest.mark.skipif(not kernel.has_onednn(), reason="torch without oneDNN")


@pytest.fixture(autouse=True)
def _back_to_torch():
    yield
    kernel.use("torch")


@pytest.fixture
def onednn(monkeypatch):
    """oneDNN's kernel for products of any size; the shapes that it was called with."""
    shapes, original = [], kernel.onednn

    def watched(x, M, bias=None):
        shapes.append((*x.shape[1:], M.shape[2]))
        return original(x, M, bias)

    monkeypatch.setattr(kernel, "LARGE", 0)
    monkeypatch.setattr(kernel, "onednn", watched)
    kernel.use("onednn")
    return shapes


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + shape[-1]))


@there
@pytest.mark.parametrize("with_bias", [False, True])
def test_onednn_multiplies_any_strides(onednn, with_bias):
    """What a step has: inputs and a block of them transposed, weights transposed, columns."""
    x, W = draw(1, 50, 30), draw(1, 30, 7)
    for a, M in (
        (x, W), (x.mT[:, 10:20], draw(1, 50, 7)), (draw(1, 50, 7), W.mT), (x, draw(1, 30, 1)),
        (x[:, ::2], W[..., 1:3]), (draw(1, 50, 1).expand(1, 50, 30), W),
    ):  # fmt: skip
        bias = draw(1, 1, M.shape[2]) if with_bias else None
        expected = (a.double() @ M.double() + (0 if bias is None else bias)).float()
        torch.testing.assert_close(kernel.product(a, M, bias), expected, rtol=1e-5, atol=1e-5)
    assert len(onednn) == 6


@there
def test_memory_that_is_given_is_filled_block_by_block(onednn, monkeypatch):
    x, M, out = draw(1, 50, 30), draw(1, 30, 7), torch.empty(1, 50, 7)
    monkeypatch.setattr(kernel, "BLOCK", 20 * 7)
    assert kernel.product(x, M, out=out) is out
    expected = (x.double() @ M.double()).float()
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    assert onednn == [(20, 30, 7), (20, 30, 7), (10, 30, 7)]


@there
def test_small_products_several_networks_and_other_formats_stay_with_torch(onednn, monkeypatch):
    kernel.product(draw(2, 5, 3), draw(2, 3, 4))
    kernel.product(draw(1, 5, 3).bfloat16(), draw(1, 3, 4).bfloat16())
    monkeypatch.setattr(kernel, "LARGE", 5 * 3 * 4 + 1)
    kernel.product(draw(1, 5, 3), draw(1, 3, 4))
    assert onednn == []
    kernel.product(draw(1, 5, 3), draw(1, 3, 5))
    assert onednn == [(5, 3, 5)]


# -- The choice ------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio, expected", [(2.0, "onednn"), (1.1, "torch"), (0.5, "torch")])
def test_the_kernel_that_is_clearly_faster_in_its_best_turn(monkeypatch, ratio, expected):
    noise = iter([9, 1, 5, 1, 1, 30, 1, 1, 2, 2, 1, 1])

    def seconds(function, x, M):
        return next(noise) * (ratio if function is torch.bmm else 1)

    monkeypatch.setattr(kernel, "_seconds", seconds)
    monkeypatch.setattr(kernel, "has_onednn", lambda: True)
    kernel._faster.cache_clear()
    try:
        assert kernel.chosen(kernel.LARGE) == expected
    finally:
        kernel._faster.cache_clear()


def test_who_goes_on_keeps_the_kernel_and_small_networks_measure_nothing(monkeypatch):
    monkeypatch.setattr(kernel, "_faster", lambda: pytest.fail("measured"))
    monkeypatch.setattr(kernel, "has_onednn", lambda: True)
    assert kernel.chosen(kernel.LARGE - 1) == "torch"
    for before in ("onednn", "torch"):
        assert kernel.chosen(kernel.LARGE, before) == before
    monkeypatch.setattr(kernel, "has_onednn", lambda: False)
    assert kernel.chosen(kernel.LARGE, "onednn") == kernel.chosen(kernel.LARGE) == "torch"


def test_it_is_measured():
    if kernel.has_onednn():
        assert kernel._faster() in ("torch", "onednn")


# -- In training -----------------------------------------------------------------------------


def people(config, fp32_kernel, n=1):
    rows = [Row(seed, config.scalars()) for seed in range(n)]
    return population_of(config, rows, CPU, fp32_kernel)


@there
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("rule, products", [("bp", 5), ("fa", 5), ("ntk", 6)])
def test_every_large_product_of_a_step(make_config, onednn, rule, products, optimizer):
    """Forward 2 (NTK's gate: 1 more), the error's way back 1, gradients 2."""
    config = make_config(
        learning_rule=rule, optimizer=optimizer, optimizer__lr=0.01, model__hidden=[6]
    )
    x, y = draw(1, 16, config.layers()[0].fan_in), torch.ones(1, 16, 1)
    start, outcomes = people(config, "torch").snapshot(slice(None)), []
    for name in ("torch", "onednn"):
        population = people(config, name)
        population.operand.activate()
        population.step(x, y)
        outcomes.append(population.snapshot(slice(None)))
    assert len(onednn) == products
    for name, w in outcomes[0].items():
        torch.testing.assert_close(outcomes[1][name], w, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(outcomes[1]["W0"], start["W0"], atol=1e-4)


@there
def test_rows_are_what_they_are_alone(make_config, onednn):
    config = make_config(learning_rule="dfa", optimizer="sgd", model__hidden=[6])
    x, y = draw(3, 16, config.layers()[0].fan_in), torch.ones(3, 16, 1)
    together, alone = people(config, "onednn", 3), people(config, "onednn")
    together.step(x, y)
    alone.step(x[:1], y[:1])
    assert onednn
    for name, w in alone.snapshot(slice(None)).items():
        assert torch.equal(together.snapshot(slice(0, 1))[name], w)
