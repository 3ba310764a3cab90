"""The loop over an epoch's batches: a GPU's way through it ends where a CPU's does.

On a CPU a recording stands in for a CUDA graph: like a graph it repeats the same operations on the
same memory, sees Python's numbers as they were, and cannot ask the device for any.
"""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import fabench.population.population as module
from fabench.population.cuda_graph import WARM_UP, Replayed
from fabench.population.examples import Examples, Feed, standardized
from fabench.population.loop import Loop
from fabench.population.population import Row
from fabench.run import registry
from fabench.run.trainer import population_of

CPU = torch.device("cpu")


class Recording(TorchDispatchMode):
    """The operations of a function and where each wrote its result."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "lift_fresh"), f"{name}: between host and device"
        result = func(*args, **kwargs)
        known = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs))
                 if isinstance(t, torch.Tensor)}  # fmt: skip
        fresh = [t.untyped_storage().data_ptr() not in known for t in tree_leaves(result)]
        self.operations.append((func, args, kwargs, result, fresh))
        return result

    def replay(self):
        for func, args, kwargs, result, fresh in self.operations:
            again = func(*args, **kwargs)
            for old, new, is_fresh in zip(
                tree_leaves(result), tree_leaves(again), fresh, strict=True
            ):
                if is_fresh:
                    old.copy_(new)


def record(function):
    """What stands in for the capture: recording is the first run, a graph's comes after it."""
    recording, calls = Recording(), []
    with recording:
        function()
    return lambda: recording.replay() if calls else calls.append(1)


@pytest.fixture
def loops(monkeypatch):
    """The loop of a configuration as a CPU goes through it, and as a GPU does."""

    def make(config, rows=None):
        rows = rows or [Row(seed, config.scalars()) for seed in config.seeds]
        made = []
        for together in (False, True):
            monkeypatch.setattr(module, "computes_together", lambda *_, t=together: t)
            people = population_of(config, rows, CPU)
            seeds = [row.seed for row in rows]
            examples = Examples(config.dataset.load(), config.task, seeds, CPU, people.operand)
            made.append(Loop(people, examples, config.trainer.batch_size))
        made[1].population.replays = True
        made[1].replayed = Replayed(made[1]._whole_batch, record)
        return made

    return make


def go(loop, numbers, start=0, n=None):
    """Train on epochs; the batches' sizes, and every epoch's loss and correct answers."""
    sizes, scores = [], []
    for number in numbers:
        loop.score.reset()
        sizes += loop.run(loop.examples.epoch("train", number, n), start)
        scores.append((loop.score.examples, loop.score.loss.clone(), loop.score.correct.clone()))
    return sizes, scores


def assert_same(loops, results):
    (sizes, scores), (other_sizes, other_scores) = results
    assert sizes == other_sizes
    for (n, loss, correct), (other_n, other_loss, other_correct) in zip(
        scores, other_scores, strict=True
    ):
        assert n == other_n
        torch.testing.assert_close(other_loss, loss, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(other_correct, correct)
    plain, graph = (loop.population for loop in loops)
    assert plain.steps == graph.steps
    for name, w in graph.trained().items():
        torch.testing.assert_close(w, plain.trained()[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", [*registry.names("optimizer"), "dozat"])
def test_a_graph_trains_as_single_steps_do(make_config, loops, optimizer):
    """Two epochs of five batches and a short one; the step's number reaches the optimizer."""
    settings = {"optimizer": "nadam", "optimizer__momentum_schedule": "dozat"}
    settings = settings if optimizer == "dozat" else {"optimizer": optimizer}
    lr = 1.0 if optimizer == "adadelta" else 0.01
    config = make_config(**settings, learning_rule="dfa", k=2, optimizer__lr=lr)
    both = loops(config)
    drawn = both[1].population.matrices("W")[0].clone()
    results = [go(loop, [1, 2], n=85) for loop in both]
    assert_same(both, results)
    assert results[1][0] == [16, 16, 16, 16, 16, 5] * 2
    assert both[1].replayed.calls == 10 > WARM_UP
    assert (both[1].population.matrices("W")[0] - drawn).abs().max() > 1e-3


VIEWS = (
    "view", "_unsafe_view", "slice", "select", "expand", "transpose", "split", "squeeze",
    "unsqueeze", "detach",
)  # fmt: skip


@pytest.mark.parametrize("optimizer, most", [("sgd", 18), ("adam", 43)])
def test_a_graph_is_few_kernels(make_config, loops, optimizer, most):
    """For small networks each takes as long as any other; the table of items holds operands."""
    loop = loops(make_config(learning_rule="dfa", optimizer=optimizer, k=2))[1]
    loop.population.descent.on_gpu = True
    epoch = loop.examples.epoch("train", 1, 64)
    epoch = replace(epoch, pool=standardized(epoch.pool, loop.population.operand))
    loop.feed = Feed(loop.examples, epoch, 16)
    with Recording() as recording:
        loop._whole_batch()
    names = [operation[0].overloadpacket.__name__ for operation in recording.operations]
    assert sum(name not in VIEWS and "empty" not in name for name in names) <= most


def test_rows_that_share_a_seed_have_their_own_rates(make_config, loops):
    config = make_config(k=1, optimizer__lr=0.5)
    rows = [
        Row(seed, {**config.scalars(), "optimizer.lr": lr}) for lr in (0.5, 0.1) for seed in (0, 1)
    ]
    both = loops(config, rows)
    assert_same(both, [go(loop, [1, 2], n=80) for loop in both])
    W = both[1].population.matrices("W")[0]
    assert not torch.equal(W[0], W[2])


@pytest.mark.parametrize("dataset", ["sparse_parity", "clusters", "linear_teacher"])
def test_a_graph_sees_every_epoch_s_own_items(make_config, loops, dataset):
    task = "regression" if dataset == "linear_teacher" else "parity"
    config = make_config(dataset=dataset, task=task, k=2, optimizer__lr=0.1, model__bias=True)
    both = loops(config)
    assert_same(both, [go(loop, [1, 2, 3], n=64) for loop in both])


def test_a_graph_sees_every_epoch_s_own_views(make_config, loops):
    config = make_config(dataset__crop=2, dataset__flip=True, k=2, optimizer__lr=0.5)
    both = loops(config)
    assert_same(both, [go(loop, [1, 2, 3], n=85) for loop in both])


def test_a_graph_begins_in_the_middle_of_an_epoch_and_stops_there(make_config, loops):
    """Three batches, stopped; from there to the end, the short one included; the next epoch."""
    both = loops(make_config(k=1, optimizer__lr=0.5))
    results = []
    for loop in both:
        epoch = loop.examples.epoch("train", 1, 85)
        left = iter([True] * 3 + [False] * 10)
        sizes = [
            *loop.run(epoch, 0, lambda left=left: next(left)), *loop.run(epoch, 3),
            *loop.run(epoch, 5), *loop.run(epoch, 6),
        ]  # fmt: skip
        more, scores = go(loop, [2], n=85)
        results.append((sizes + more, scores))
    assert_same(both, results)
    assert results[1][0] == [*[16] * 5, 5, 5, *[16] * 5, 5]


@pytest.mark.parametrize(
    "device, settings, replays",
    [
        ("cpu", {}, False),
        ("cuda", {}, True),
        ("cuda", {"model__hidden_dropout": 0.5}, False),
        ("cuda", {"learning_rule": "weight_mirror"}, False),
    ],
)
def test_what_is_drawn_in_a_step_comes_from_the_host(make_config, device, settings, replays):
    config = make_config(**settings)
    found = module.is_a_graph(torch.device(device), config.learning_rule, config.layers())
    assert found == replays
