"""Oracles: plain loops over workers in float64, each with torch's autograd and torch.optim; the
optimizer alone, where nothing is late; sums that an exchange leaves as they are.

Axes: R rows, B batch, I fan-in, O fan-out.
"""

import pytest
import torch
from torch.nn.functional import cross_entropy

from fabench.population import population as module
from fabench.population.population import Row
from fabench.randomness import generator
from fabench.run import registry
from fabench.run.trainer import population_of
from fabench.schema import UserError

CPU = torch.device("cpu")
NET = {
    "task": "classification", "learning_rule": "bp", "model__bias": True,
    "model__activation": "tanh", "optimizer__lr": 0.1, "trainer__precision": "fp32",
}  # fmt: skip
SEEDS = (3, 8)
STEPS = 24
ADAGRAD = {"optimizer": "adagrad", "optimizer__epsilon": 1e-3}
ADAM = {"optimizer": "adam", "optimizer__lr": 0.02, "optimizer__epsilon": 1e-3}
SCHEMES = {
    "hogwild": {},
    "downpour": {"parallel__period": 2},
    "elastic_averaging": {"parallel__period": 2, "parallel__momentum": 0.8},
    "delay_tolerant": ADAGRAD,
}


def settings(scheme, workers=3, **changes):
    """Of a scheme, with what it needs."""
    own = {"parallel": scheme, "parallel__workers": workers}
    return NET | own | SCHEMES[scheme] | changes


def build(make_config, seeds=SEEDS, **changes):
    config = make_config(**NET | changes)
    return population_of(config, [Row(s, config.scalars()) for s in seeds], CPU)


def batches(number=STEPS):
    """x [2, 12, 64] and y [2, 12, 10], one of each row."""
    rng = torch.Generator().manual_seed(0)
    for _ in range(number):
        x = torch.randn(2, 12, 64, generator=rng)
        yield x, torch.eye(10)[torch.randint(10, (2, 12), generator=rng)]


def trained(people, steps, rows=slice(None)):
    for x, y in steps:
        people.step(x[rows], y[rows])
    return people


def test_every_scheme_is_here():
    assert {"serial", *SCHEMES} == set(registry.names("parallel"))


# -- Plain loops -----------------------------------------------------------------------------


def gradient(parameters, x, y):
    """Of the mean cross-entropy of a net of one tanh layer, at tensors W0, b0, W1, b1."""
    leaves = [p.clone().requires_grad_() for p in parameters]
    W0, b0, W1, b1 = leaves
    loss = cross_entropy(torch.tanh(x @ W0 + b0) @ W1 + b1, y)
    return torch.autograd.grad(loss, leaves)


class Local:
    """One of torch's optimizers, which steps from wherever it is told."""

    def __init__(self, x, optimizer, **numbers):
        self.leaves = [p.clone().requires_grad_() for p in x]
        self.optimizer = optimizer(self.leaves, **numbers)

    def step(self, position, g):
        for leaf, p, own in zip(self.leaves, position, g, strict=True):
            leaf.data, leaf.grad = p.clone(), own
        self.optimizer.step()
        return [leaf.detach().clone() for leaf in self.leaves]


def sgd(x):
    return Local(x, torch.optim.SGD, lr=0.1)


def adam(x):
    return Local(x, torch.optim.Adam, lr=0.02, eps=1e-3)


def hogwild(x, p, local):
    """Each function yields the centre after a worker's step, and is sent (worker, x, y)."""
    read, optimizer = [x] * p, local(x)
    while True:
        w, *batch = yield x
        moved = optimizer.step(read[w], gradient(read[w], *batch))
        x = [c + (a - b) for c, a, b in zip(x, moved, read[w], strict=True)]
        read[w] = x


def downpour(x, p, local, period):
    pulled, own, count = [x] * p, [x] * p, [0] * p
    optimizers = [local(x) for _ in range(p)]
    while True:
        w, *batch = yield x
        own[w] = optimizers[w].step(own[w], gradient(own[w], *batch))
        count[w] += 1
        if count[w] == period:
            x = [c + a - b for c, a, b in zip(x, own[w], pulled[w], strict=True)]
            own[w], pulled[w], count[w] = x, x, 0


def elastic_averaging(x, p, lr, period, beta, delta):
    own, count = [[c.clone() for c in x] for _ in range(p)], [0] * p
    velocity = [[0 * c for c in x] for _ in range(p)]
    while True:
        w, *batch = yield x
        d = [beta / p * (a - c) if count[w] % period == 0 else 0 * c
             for a, c in zip(own[w], x, strict=True)]  # fmt: skip
        x = [c + e for c, e in zip(x, d, strict=True)]
        ahead = [a + delta * v for a, v in zip(own[w], velocity[w], strict=True)]
        g = gradient(ahead, *batch)
        velocity[w] = [delta * v - lr * e for v, e in zip(velocity[w], g, strict=True)]
        own[w] = [a + v - e for a, v, e in zip(own[w], velocity[w], d, strict=True)]
        count[w] += 1


def delay_tolerant(x, p, lr, epsilon):
    def zeros():
        return [0 * c for c in x]

    z, largest, total = zeros(), zeros(), zeros()
    read, total_read = [x] * p, [zeros() for _ in range(p)]
    while True:
        w, *batch = yield x
        x = list(x)
        for i, g in enumerate(gradient(read[w], *batch)):
            late = total[i] - total_read[w][i]
            old = lr / (largest[i] + epsilon).sqrt()
            z[i] = z[i] + g**2 + 2 * g * late
            largest[i] = torch.maximum(z[i], largest[i])
            eta = lr / (largest[i] + epsilon).sqrt()
            x[i] = x[i] - eta * g + (old - eta) * late
            total[i] = total[i] + g
        read[w], total_read[w] = x, list(total)


@pytest.mark.parametrize(
    ("changes", "loop"),
    [
        (settings("hogwild"), lambda x: hogwild(x, 3, sgd)),
        (settings("hogwild", **ADAM), lambda x: hogwild(x, 3, adam)),
        (settings("downpour", parallel__period=1), lambda x: downpour(x, 3, sgd, 1)),
        (settings("downpour", 4, parallel__period=3, **ADAM), lambda x: downpour(x, 4, adam, 3)),
        (
            settings("elastic_averaging", parallel__period=1, parallel__momentum=0.0),
            lambda x: elastic_averaging(x, 3, 0.1, 1, 0.9, 0.0),
        ),
        (
            settings(
                "elastic_averaging",
                4,
                parallel__period=2,
                parallel__momentum=0.8,
                parallel__moving_rate=0.6,
            ),
            lambda x: elastic_averaging(x, 4, 0.1, 2, 0.6, 0.8),
        ),
        (settings("delay_tolerant"), lambda x: delay_tolerant(x, 3, 0.1, 1e-3)),
    ],
    ids=["hogwild", "hogwild adam", "downpour", "downpour adam", "EASGD", "EAMSGD", "revision"],
)
def test_training_follows_a_loop_over_workers(make_config, changes, loop):
    people, p = build(make_config, **changes), changes["parallel__workers"]
    names = ("W0", "b0", "W1", "b1")
    loops = []
    for r in range(2):
        loops.append(loop([people.tensors[name][r].double().clone() for name in names]))
        next(loops[r])
    for t, (x, y) in enumerate(batches()):
        people.step(x, y)
        for r, seed in enumerate(SEEDS):
            worker = generator(seed, "workers", t // p).permutation(p)[t % p]
            centre = loops[r].send((worker, x[r].double(), y[r].double()))
            for name, expected in zip(names, centre, strict=True):
                torch.testing.assert_close(
                    people.tensors[name][r].double(), expected, rtol=1e-4, atol=1e-5
                )
    serial = {key: v for key, v in changes.items() if not key.startswith("parallel")}
    alone = trained(build(make_config, **serial), batches())
    assert not torch.allclose(alone.tensors["W1"], people.tensors["W1"], atol=1e-3)


# -- One worker, and sums --------------------------------------------------------------------

OPTIMIZERS = ["sgd", "momentum", "adam", "nadam"]


@pytest.mark.parametrize(
    ("scheme", "changes"),
    [
        *((scheme, {"optimizer": o}) for scheme in ("hogwild", "downpour") for o in OPTIMIZERS),
        ("hogwild", {"trainer__clip_norm": 0.3, "trainer__gradient_noise": 0.01}),
        ("hogwild", {"model__batch_norm": True, "trainer__weight_decay": 0.1}),
        ("hogwild", {"learning_rule": "kolen_pollack", "schedule": "cosine"}),
        ("delay_tolerant", {"optimizer": "adagrad", "optimizer__epsilon_place": "inside"}),
        ("delay_tolerant", {"optimizer": "adagrad", "optimizer__epsilon_place": "outside"}),
    ],
)
def test_one_worker_is_the_optimizer_alone(make_config, scheme, changes):
    """To the last bit; with Downpour the worker is, and the centre where it has just pushed."""
    steps = list(batches())
    alone = trained(build(make_config, **changes), steps)
    period = {"parallel__period": 7} if scheme == "downpour" else {}
    people = build(make_config, **changes, parallel=scheme, parallel__workers=1, **period)
    for t, (x, y) in enumerate(steps, 1):
        people.step(x, y)
        if t == 21:
            pushed = {name: people.tensors[name].clone() for name in people.trained_names}
    own = {"downpour": "parameters"}.get(scheme, "read")
    at_21 = trained(build(make_config, **changes), steps[:21])
    for name, tensor in alone.tensors.items():
        ours = people.workers[name][own][:, 0] if name in people.workers else people.tensors[name]
        assert torch.equal(ours, tensor), name
    for name in pushed if scheme == "downpour" else ():
        assert torch.equal(pushed[name], at_21.tensors[name])
        assert torch.equal(people.tensors[name], pushed[name]), "it has not pushed since"


def test_springs_leave_the_sum_of_workers_and_centre(make_config):
    scheme = make_config(parallel="elastic_averaging", parallel__period=1).parallel
    rng = torch.Generator().manual_seed(0)
    x, x_w, moved = torch.randn(3, 2, 5, 4, generator=rng, dtype=torch.float64)
    centre, own = scheme.exchange(x, {"parameters": x_w}, moved, 1)
    torch.testing.assert_close(centre + own["parameters"], x + moved)
    torch.testing.assert_close(centre, x + 0.9 / 4 * (x_w - x))


# -- Rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_row_is_the_run_alone(make_config, monkeypatch, scheme, together):
    monkeypatch.setattr(module, "computes_together", lambda *_: together)
    people = trained(build(make_config, **settings(scheme)), batches())
    for r, seed in enumerate(SEEDS):
        alone = build(make_config, [seed], **settings(scheme))
        alone = trained(alone, batches(), slice(r, r + 1))
        ours = people.snapshot(slice(r, r + 1))
        for name, tensor in alone.snapshot(slice(None)).items():
            torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_snapshot_goes_on(make_config, scheme):
    """In the middle of a round, and of a period."""
    changes, steps = settings(scheme), 7
    whole = build(make_config, **changes)
    trained(whole, list(batches())[:steps])
    saved = whole.snapshot(slice(None))
    other = build(make_config, **changes)
    assert other.fits(slice(None), saved)
    fewer = build(make_config, **changes | {"parallel__workers": 2})
    assert not fewer.fits(slice(None), saved)
    other.restore(slice(None), saved)
    other.steps = steps
    for people in (whole, other):
        trained(people, list(batches())[steps:])
    ours, theirs = (people.snapshot(slice(None)) for people in (whole, other))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert any("of workers" in name for name in ours)


# -- What is asked for -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"parallel": "delay_tolerant"}, "parallel=delay_tolerant revises.*optimizer=adagrad"),
        (
            {"parallel": "delay_tolerant", "optimizer": "adagrad", "optimizer__epsilon": 0.0},
            "parallel=delay_tolerant .*optimizer.epsilon",
        ),
        (
            {"parallel": "hogwild", "learning_rule": "local_search"},
            "parallel=hogwild: learning_rule=local_search searches",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(make_config, changes, sentence):
    with pytest.raises(UserError, match=f"^{sentence}"):
        make_config(**changes)
