"""Compiled updates: the same numbers as the operations one by one, in one sweep."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from torch._dynamo.utils import counters
from torch._inductor import metrics
from torch._inductor.utils import fresh_cache

from fabench.population import compiled, descent
from fabench.population.compiled import as_tensors, compiled_update, update_
from fabench.population.population import Row
from fabench.population.precision import PAYS_FROM
from fabench.run import registry
from fabench.run.trainer import population_of
from fabench.schema import scalars

CPU = torch.device("cpu")
WITH_STATE = [name for name in registry.names("optimizer") if name != "sgd"]
DECAYING = ("momentum", "adam")
"""Compiled with weight decay, too: it is added before an optimizer's own update, alike for all."""

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler"
)


@pytest.fixture(scope="module", autouse=True)
def own_cache():
    with fresh_cache():
        yield


def numbers_of(optimizer, weight_decay):
    """As a population has them."""
    own = {name: getattr(optimizer, name) for name in scalars(type(optimizer))}
    return SimpleNamespace(**own, weight_decay=weight_decay)


@pytest.mark.parametrize("name", WITH_STATE)
def test_follows_the_operations_one_by_one(make_config, name):
    """In steps 1 and 20, with another rate and bf16 gradients; one kernel."""
    config = make_config(optimizer=name, trainer__weight_decay=0.1)
    optimizer, h = config.optimizer, numbers_of(config.optimizer, weight_decay=0.1)
    metrics.reset()
    update = compiled_update(optimizer, h, torch.ones(1, 16, 16), torch.bfloat16)
    assert metrics.generated_kernel_count == 1
    W = torch.randn(1, 30, 20)
    drawn, alone = W.clone(), W.clone()
    state, state_alone = optimizer.initial_state(W), optimizer.initial_state(W)
    for t, lr, decays in [(1, 0.1, False), (2, 0.3, False), (20, 0.1, name in DECAYING)]:
        h.lr, g = lr, torch.randn(1, 30, 20).bfloat16()
        of_step = optimizer.at_step(t, h)
        update(optimizer, W, g, state, as_tensors(of_step), decays)
        update_(optimizer, alone, g, state_alone, of_step, decays)
        moved = (alone - drawn).abs().max().item()
        assert moved > 1e-5
        torch.testing.assert_close(W, alone, rtol=1e-5, atol=1e-4 * moved)
        for key, value in state_alone.items():
            torch.testing.assert_close(state[key], value, rtol=1e-4, atol=1e-5 * value.abs().max())


@pytest.mark.parametrize("name", ["adam", "adadelta"])
def test_rows_together_have_their_own_numbers(make_config, name):
    """As on a GPU: [R, 1, 1], and the step's number as a tensor. Adam has more than Adadelta."""
    config = make_config(optimizer=name)
    optimizer, rates = config.optimizer, torch.tensor([0.1, 0.3]).view(-1, 1, 1)
    own = vars(numbers_of(optimizer, weight_decay=0.0))
    h = SimpleNamespace(**{name: value * torch.ones_like(rates) for name, value in own.items()})
    h.lr = rates
    update = compiled_update(optimizer, h, torch.ones(2, 16, 16), torch.float32)
    W, g = torch.randn(2, 30, 20), torch.randn(2, 30, 20)
    alone, state, state_alone = W.clone(), optimizer.initial_state(W), optimizer.initial_state(W)
    for t in (1, 2):
        of_step = optimizer.at_step(torch.tensor(float(t), dtype=torch.float64), h)
        update(optimizer, W, g, state, as_tensors(of_step), False)
        update_(optimizer, alone, g, state_alone, of_step, False)
    torch.testing.assert_close(W, alone, rtol=1e-5, atol=1e-6)


def large(make_config, **settings):
    """A population of two networks with a weight of 2^18, and its config."""
    config = make_config(k=1, model__hidden=[PAYS_FROM // 64], **settings)
    return population_of(config, [Row(s, config.scalars() | {"optimizer.lr": lr}) for s, lr in
                               [(0, 1e-3), (1, 2e-3)]], CPU)  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
def test_a_population_trains_as_without(make_config, monkeypatch, threads):
    """As a whole: where a pre-activation is near 0, the last digit decides whether a unit learns,
    and Adam makes a whole step of it."""
    monkeypatch.setitem(descent.COMPILES_FROM, "cpu", 0)
    rng = torch.Generator().manual_seed(0)
    batches = [(torch.randn(2, 8, 64, generator=rng), torch.ones(2, 8, 1)) for _ in range(4)]
    before, weights = torch.get_num_threads(), []
    torch.set_num_threads(threads)
    try:
        for compile_ in (compiled_update, lambda *_: None):
            monkeypatch.setattr(descent, "compiled_update", compile_)
            people = large(make_config, optimizer="adam")
            assert (people.descent.compiled is None) == (compile_ is not compiled_update)
            drawn, graphs = people.matrices("W")[0].clone(), counters["stats"]["unique_graphs"]
            steps = people.train((people.operand(x), y) for x, y in batches)
            assert len(list(steps)) == 4
            assert counters["stats"]["unique_graphs"] == graphs, "training compiles nothing more"
            weights.append(people.matrices("W")[0] - drawn)
    finally:
        torch.set_num_threads(before)
    compiled, plain = weights
    for ours, theirs in zip(compiled, plain, strict=True):
        assert (ours - theirs).norm() <= 1e-2 * theirs.norm()
    assert compiled.abs().amax((1, 2)).min() > 1e-3


def test_short_runs_and_plain_descent_are_not_compiled(make_config, monkeypatch):
    assert large(make_config, optimizer="adam").descent.compiled is None
    monkeypatch.setitem(descent.COMPILES_FROM, "cpu", 0)
    assert large(make_config, optimizer="sgd").descent.compiled is None


def test_without_a_compiler_it_says_so_and_trains(make_config, monkeypatch, caplog):
    def broken(optimizer):
        raise RuntimeError("No working C++ compiler found.\nA trace.")

    monkeypatch.setitem(descent.COMPILES_FROM, "cpu", 0)
    monkeypatch.setattr(compiled, "_compiled", broken)
    with caplog.at_level("INFO"):
        people = large(make_config, optimizer="adam")
    drawn = people.matrices("W")[0].clone()
    people.step(people.operand(torch.randn(2, 8, 64)), torch.ones(2, 8, 1))
    assert people.descent.compiled is None
    assert not torch.equal(people.matrices("W")[0], drawn)
    assert caplog.messages == [
        "Updates are not compiled and take longer (No working C++ compiler found.)."
    ]
