"""What a training step costs, counted: matrix products, operations, and memory that is allocated.

Counts, not seconds: they fail where a change makes the step dearer, on any machine.
"""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fabench.population.population import Row
from fabench.run import registry
from fabench.run.trainer import population_of
from fabench.schema import scalars

CPU = torch.device("cpu")
PRODUCTS = ("mm", "bmm", "addmm", "addmm_", "baddbmm", "baddbmm_", "matmul")
HIDDEN, BATCH = 512, 16


class Costs(TorchDispatchMode):
    """Counts operations by name, and the elements of tensors that they allocate."""

    def __init__(self):
        super().__init__()
        self.calls, self.allocated, self.largest = Counter(), 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls[func.overloadpacket.__name__] += 1
        known = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs or {}))
                 if isinstance(t, torch.Tensor)}  # fmt: skip
        for tensor in tree_leaves(result):
            if (
                isinstance(tensor, torch.Tensor)
                and tensor.untyped_storage().data_ptr() not in known
            ):
                self.allocated += tensor.numel()
                self.largest = max(self.largest, tensor.numel())
        return result

    @property
    def products(self):
        return sum(self.calls[name] for name in PRODUCTS)


@pytest.fixture
def cost(make_config):
    def measure(rule, optimizer="sgd", n_networks=1, **settings):
        config = make_config(
            learning_rule=rule, optimizer=optimizer, k=1, model__hidden=[HIDDEN], **settings
        )
        rows = [Row(seed, config.scalars()) for seed in range(n_networks)]
        people = population_of(config, rows, CPU)
        x = people.operand(torch.randn(n_networks, BATCH, 64))
        y = torch.ones(n_networks, BATCH, 1)
        people.step(x, y)
        with Costs() as costs:
            people.step(x, y)
        return costs

    return measure


@pytest.mark.parametrize(
    "rule, products",
    [("bp", 5), ("dfa", 5), ("fa", 5), ("relu_features", 3), ("ntk", 6)],
)
def test_products_are_those_of_the_equations(cost, rule, products):
    """Forward 2 (NTK's gate: 1 more), the error's way back 1, gradients 2."""
    assert cost(rule).products == products


@pytest.mark.parametrize("rule", ["bp", "dfa"])
def test_a_step_is_few_operations(cost, rule):
    """About 30 calls, views included; more networks cost that much each."""
    one, three = cost(rule), cost(rule, n_networks=3)
    assert sum(one.calls.values()) <= 50
    assert sum(three.calls.values()) <= 3 * sum(one.calls.values())


@pytest.mark.parametrize("optimizer", registry.names("optimizer"))
def test_no_optimizer_allocates_more_than_a_few_blocks(cost, optimizer, monkeypatch):
    """Updates work on blocks that fit the cache, whatever the weight's size."""
    monkeypatch.setattr("fabench.population.descent.BLOCK", 8 * HIDDEN)  # of 64 rows: eight blocks
    assert cost("dfa", optimizer).largest <= max(8 * HIDDEN, BATCH * HIDDEN)


SWEEPS = {
    "sgd": 1, "momentum": 3, "nesterov": 4, "adagrad": 4, "rmsprop": 5, "adam": 6, "adamax": 6,
    "nadam": 7, "amsgrad": 7,
}  # fmt: skip


@pytest.mark.parametrize("name", registry.names("optimizer"))
def test_an_update_is_few_sweeps(make_config, name):
    """Over a weight's elements: beside the products, they are what an optimizer costs."""
    config = make_config(optimizer=name)
    own = {name: getattr(config.optimizer, name) for name in scalars(type(config.optimizer))}
    W, g = torch.zeros(1, 4, 3), torch.ones(1, 4, 3)
    state = config.optimizer.initial_state(W)
    with Costs() as costs:
        config.optimizer.update_(W, g, state, config.optimizer.at_step(1, SimpleNamespace(**own)))
    assert sum(costs.calls.values()) <= SWEEPS.get(name, 9)


def test_plain_descent_writes_no_gradient(cost, monkeypatch):
    """W is changed by the product itself, where that sums over the batch first; nothing as large as
    a weight is allocated."""
    monkeypatch.setattr("fabench.population.descent.sums_first", lambda *shape: True)
    costs = cost("dfa")
    assert costs.calls["baddbmm_"] == 2
    assert costs.largest <= BATCH * HIDDEN


@pytest.mark.parametrize("optimizer", registry.names("optimizer"))
def test_a_bf16_step_reuses_memory_of_a_weight_s_size(cost, optimizer, monkeypatch):
    """Operands and gradients have buffers; what an update needs is as large as a block."""
    monkeypatch.setattr("fabench.population.precision.cpu_has_bf16", lambda: True)
    monkeypatch.setattr("fabench.population.descent.BLOCK", 8 * HIDDEN)
    costs = cost("dfa", optimizer, trainer__precision="bf16")
    assert costs.largest <= BATCH * HIDDEN
    assert costs.calls["bmm"] == costs.products == 5
