"""Every contender of the benchmark does the same work: equal weights after the same batches."""

import pytest
import torch

from fabench.command.bench.bench import problem
from fabench.command.bench.contenders import CONTENDERS

TINY = {
    "trainer__batch_size": 16,
    "trainer__train_examples": None,
    "optimizer": "sgd",
    "optimizer__lr": 0.5,
    "model__hidden": [6],
    "seed": [0, 1, 2],
    "k": 2,
}


@pytest.fixture(scope="module")
def build(make_raw):
    def make(name, rule, n_networks=5, precision="fp32"):
        raw = make_raw(**TINY, learning_rule=rule)
        return CONTENDERS[name](problem(raw, n_networks, precision))

    return make


@pytest.mark.parametrize("rule", ["bp", "dfa"])
@pytest.mark.parametrize("name", sorted(set(CONTENDERS) - {"fabench"}))
def test_contenders_do_the_same_work(build, name, rule):
    """Five networks: three seeds at one learning rate, two of them at another."""
    fabench, other = build("fabench", rule), build(name, rule)
    start = [w.clone() for w in fabench.weights()]
    n_batches = fabench.problem.n_batches
    for steps in (3, n_batches - 2):  # past the epoch's end, where it begins again
        fabench.train(steps)
        other.train(steps)
    for w, expected, before in zip(other.weights(), fabench.weights(), start, strict=True):
        torch.testing.assert_close(w, expected, rtol=1e-3, atol=1e-4)
        assert (expected - before).abs().max() > 100 * 1e-4
    W = fabench.weights()[0]
    assert not torch.equal(W[0], W[3])  # one seed, two learning rates


@pytest.mark.parametrize("name, rule", [("compiled", "dfa"), ("jax", "bp"), ("jax", "dfa")])
def test_contenders_do_the_same_work_in_bf16(build, name, rule):
    """Operands are rounded to 8 bits: far from float32's weights, and as near to fabench's."""
    exact, fabench, other = (
        build(n, rule, 1, precision)
        for n, precision in (("fabench", "fp32"), ("fabench", "bf16"), (name, "bf16"))
    )
    for contender in (exact, fabench, other):
        contender.train(3)
    for w, expected, unrounded in zip(
        other.weights(), fabench.weights(), exact.weights(), strict=True
    ):
        torch.testing.assert_close(w, expected, rtol=1e-2, atol=2e-3)
        assert (w - unrounded).abs().max() > 1e-5


def test_a_problem_spreads_networks_over_seeds_and_learning_rates(build):
    p = build("fabench", "dfa", 7).problem
    assert p.streams == [0, 1, 2, 0, 1, 2, 0]
    assert p.rates == pytest.approx([0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.5 / 3])
    assert build("fabench", "dfa", 1).problem.streams == [0]
