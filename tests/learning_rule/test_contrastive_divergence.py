"""Oracle: every state of a machine of 4 inputs, 3 hidden units and 2 classes, one after the other.

Axes: R rows, B batch, I inputs, H hidden units, C classes, S states of inputs and class.
"""

import itertools

import pytest
import torch
from by_hand import HandPart
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from fabench.learning_rule.contrastive_divergence import ContrastiveDivergence, one_of
from fabench.model.layer.network import Layer
from fabench.population.population import Row
from fabench.run.parsing import parse
from fabench.run.trainer import population_of
from fabench.schema import UserError
from fabench.task.base import LOSSES

BITS = {n: torch.tensor(list(itertools.product([0.0, 1.0], repeat=n))).double() for n in (3, 4)}
CLASSES = {2: torch.eye(2).double(), 1: torch.tensor([[0.0], [1.0]]).double()}


def rule(objective, steps=1, alpha=0.3):
    return ContrastiveDivergence(
        name="contrastive_divergence", objective=objective, steps=steps, alpha=alpha
    )


class Machine:
    """One run's machine with C outputs; its parameters are leaves."""

    def __init__(self, C, seed=0):
        rng = torch.Generator().manual_seed(seed)
        shapes = {"W": (4, 3), "U": (3, C), "v": (4,), "c": (3,), "d": (C,)}
        for name, shape in shapes.items():
            value = torch.randn(shape, generator=rng, dtype=torch.float64)
            setattr(self, name, value.requires_grad_())
        self.C, self.y = C, CLASSES[C]

    def part(self, runs=1):
        own = {"W": [self.W, self.U], "b": [self.c[None], self.d[None]], "v": [self.v[None]]}
        matrices = {
            kind: [m.detach().expand(runs, *m.shape).clone() for m in of]
            for kind, of in own.items()
        }
        layers = (
            Layer(4, 3, "sigmoid", bias_init="zeros"),
            Layer(3, self.C, "sigmoid", bias_init="zeros"),
        )
        loss = LOSSES["softmax_cross_entropy" if self.C > 1 else "sigmoid_cross_entropy"]
        return HandPart(layers, objective=loss, **matrices)

    def minus_energy(self, x):
        """-E [B, 8, classes] of inputs [B, 4] with every h and y: (1)."""
        h, y = BITS[3], self.y
        with_h = torch.einsum("bi,ij,hj->bh", x, self.W, h) + h @ self.c
        alone = (x @ self.v)[:, None, None] + y @ self.d
        return with_h[:, :, None] + torch.einsum("hj,jk,yk->hy", h, self.U, y) + alone

    def log_p(self, x):
        """log p(y|x) [B, classes]."""
        return self.minus_energy(x).logsumexp(1).log_softmax(-1)

    def chain(self, x, y, steps):
        """p(x_n, y_n) [S] from x, y, the states x with the first class, then with the second, ...;
        the states' x [S, 4], y [S, C], and p(h|x, y) of each unit [S, 3]."""
        xs = BITS[4].repeat(len(self.y), 1)
        ys = self.y.repeat_interleave(16, 0)
        at = int(((xs == x).all(1) & (ys == y).all(1)).nonzero())
        h = BITS[3]
        on = torch.sigmoid(self.c + xs @ self.W + ys @ self.U.T)  # [S, 3]
        of_h = torch.where(h[None] > 0, on[:, None], 1 - on[:, None]).prod(-1)  # [S, 8]
        white = torch.sigmoid(h @ self.W.T + self.v)  # [8, 4]
        of_x = torch.where(xs[None] > 0, white[:, None], 1 - white[:, None]).prod(-1)  # [8, S]
        of_y = (h @ self.U @ self.y.T + self.y @ self.d).softmax(-1)  # [8, classes]
        T = of_h @ (of_x * of_y.repeat_interleave(16, 1))  # from state to state
        p = torch.zeros(len(xs)).double()
        p[at] = 1
        for _ in range(steps):
            p = p @ T
        return p.detach(), xs, ys, on.detach()


def descended(part):
    return {name: g for name, (g, rate) in part.descended.items() if rate == 1}


@pytest.mark.parametrize("C", [1, 2])
def test_answers_are_the_conditional_probabilities(C):
    machine, x = Machine(C), torch.rand(5, 4, generator=torch.Generator().manual_seed(1)).double()
    a = rule("hybrid").outputs(machine.part(), x[None])[0]
    log_p = machine.log_p(x)
    found = a.log_softmax(-1) if C > 1 else torch.cat([-a, a], 1).sigmoid().log()
    torch.testing.assert_close(found, log_p.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("C", [1, 2])
def test_discriminative_is_the_gradient_of_the_conditional_likelihood(C):
    machine, rng = Machine(C), torch.Generator().manual_seed(2)
    x, number = torch.rand(6, 4, generator=rng).double(), torch.tensor([0, 1, 1, 0, 1, 0])
    part = machine.part()
    output = rule("discriminative").learn(part, x[None], machine.y[number][None])
    loss = -machine.log_p(x)[range(6), number].mean()
    loss.backward()
    expected = {"W0": machine.W, "W1": machine.U, "b0": machine.c, "b1": machine.d}
    found = descended(part)
    assert found.keys() == expected.keys()
    for name, leaf in expected.items():
        g, rtol = found[name][0].view_as(leaf), 1e-6 if name == "b0" else 1e-9  # it is in float32
        torch.testing.assert_close(g.double(), leaf.grad, rtol=rtol, atol=rtol / 10)
    logits = output[0]
    value = (
        cross_entropy(logits, number)
        if C > 1
        else binary_cross_entropy_with_logits(logits[:, 0], number.double())
    )
    torch.testing.assert_close(value, loss.detach())


@pytest.mark.parametrize(("C", "steps"), [(1, 1), (2, 1), (2, 3)])
def test_both_phases_are_those_of_the_enumerated_chain(C, steps):
    """20,000 chains from one example: means lie within 4.5 standard errors of the expectation."""
    machine, n = Machine(C), 20_000
    x, y = torch.tensor([1.0, 0, 1, 1]).double(), machine.y[1]
    part = machine.part()
    rule("generative", steps).learn(part, x.expand(1, n, 4), y.expand(1, n, C))
    found = descended(part)
    p, xs, ys, on = machine.chain(x, y, steps)
    one = torch.ones(len(xs), 1).double()
    own = torch.sigmoid(machine.c + x @ machine.W + machine.U @ y).detach()  # p(h|x, y)
    terms = {  # of a state, and of the example
        "W0": (xs[:, :, None] * on[:, None], torch.outer(x, own)),
        "W1": (on[:, :, None] * ys[:, None], torch.outer(own, y)),
        "b0": (one[:, :, None] * on[:, None], own[None]),
        "b1": (one[:, :, None] * ys[:, None], y[None]),
        "v0": (one[:, :, None] * xs[:, None], x[None]),
    }
    assert found.keys() == terms.keys()
    for name, (of_states, of_example) in terms.items():
        mean = torch.einsum("s,sij->ij", p, of_states)
        deviation = (torch.einsum("s,sij->ij", p, of_states**2) - mean**2).clamp(min=0).sqrt()
        far = (found[name][0] - (mean - of_example)).abs()
        assert (far <= 4.5 * deviation / n**0.5 + 1e-12).all(), name
        assert deviation.max() > 0.05


def test_long_chains_go_to_the_machines_own_distribution():
    """So that contrastive divergence goes to the gradient of -log p(x, y)."""
    machine = Machine(2)
    x, y = torch.tensor([1.0, 0, 1, 1]).double(), machine.y[1]
    p, xs, _, on = machine.chain(x, y, 500)
    of_all = machine.minus_energy(BITS[4]).logsumexp(1)  # [16, classes]
    loss = of_all.logsumexp((0, 1)) - of_all[int("1011", 2), 1]
    loss.backward()
    torch.testing.assert_close(p, of_all.detach().T.flatten().softmax(0), rtol=1e-6, atol=1e-9)
    own = torch.sigmoid(machine.c + x @ machine.W + machine.U @ y).detach()
    negative = torch.einsum("s,si,sj->ij", p, xs, on)
    torch.testing.assert_close(negative - torch.outer(x, own), machine.W.grad, rtol=1e-6, atol=1e-8)


def test_hybrid_is_the_loss_and_alpha_times_the_chain():
    machine, rng = Machine(2), torch.Generator().manual_seed(3)
    x, y = torch.rand(3, 6, 4, generator=rng).double(), torch.eye(2).double()[[0, 1, 1, 0, 1, 0]]
    of = {}
    for objective in ("generative", "discriminative", "hybrid"):
        part = machine.part(3)
        rule(objective, steps=2, alpha=0.3).learn(part, x, y.expand(3, -1, -1))
        of[objective] = descended(part)
    assert of["hybrid"].keys() == of["generative"].keys() > of["discriminative"].keys()
    for name, g in of["hybrid"].items():
        alone = of["discriminative"].get(name, torch.zeros(()))
        torch.testing.assert_close(g, alone + 0.3 * of["generative"][name])


def test_classes_have_their_probabilities():
    part, n = Machine(2).part(), 20_000
    a = torch.tensor([0.5, -1.0, 2.0]).double()
    drawn = one_of(part, "some", a.expand(1, n, 3))
    assert torch.equal(drawn.sum(-1), torch.ones(1, n).double()) and drawn.unique().tolist() == [
        0,
        1,
    ]
    p = a.softmax(0)
    assert ((drawn.mean((0, 1)) - p).abs() < 4.5 * (p * (1 - p) / n).sqrt()).all()


SETTINGS = {
    "learning_rule": "contrastive_divergence",
    "task": "classification",
    "model__activation": "sigmoid",
    "dataset__scaling": "unit",
}


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
def test_a_row_is_the_run_alone_whatever_alpha_the_others_have(make_config, bias):
    config = make_config(**SETTINGS, model__bias=bias, trainer__precision="fp32")
    rows = [Row(s, config.scalars() | {"learning_rule.alpha": a}) for s, a in ((0, 0.1), (1, 0.5))]
    x, y = torch.rand(2, 9, 64), torch.eye(10)[torch.arange(9)].expand(2, -1, -1)
    together = population_of(config, rows, torch.device("cpu"))
    for _ in range(3):
        together.step(x, y)
    for r, row in enumerate(rows):
        alone = population_of(config, [row], torch.device("cpu"))
        before = alone.snapshot(slice(None))
        for _ in range(3):
            alone.step(x[r : r + 1], y[r : r + 1])
        names = {"W0", "W1", "v0"} | ({"b0", "b1"} if bias else set())
        assert alone.snapshot(slice(None)).keys() == names
        for name, tensor in alone.snapshot(slice(None)).items():
            assert not torch.equal(tensor, before[name])
            torch.testing.assert_close(together.tensors[name][r], tensor[0])


def test_inputs_have_biases_where_they_are_modelled(make_config):
    for objective in ("generative", "discriminative"):
        config = make_config(**SETTINGS, learning_rule__objective=objective)
        rows = [Row(0, config.scalars())]
        people = population_of(config, rows, torch.device("cpu"))
        assert ("v0" in people.tensors) == (objective == "generative")
        assert people.n_parameters() == 64 * 5 + 5 * 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "convnet"}, "is not defined for convolutions"),
        ({"model__input_dropout": 0.1}, "is not defined for dropout"),
        ({"model__hidden": [5, 4]}, "needs one hidden layer, of sigmoid units: model"),
        ({"model__hidden": []}, "needs one hidden layer, of sigmoid units"),
        ({"model__activation": "relu"}, "needs one hidden layer, of sigmoid units"),
        ({"task__loss": "squared_error"}, "needs one softmax, or one sigmoid: task.name=class"),
        ({"task__loss": "sigmoid_cross_entropy"}, "needs one softmax, or one sigmoid"),
        ({"dataset__scaling": "standardized"}, r"in \[0, 1\] \(images: dataset\.scaling=unit\): "),
        ({"learning_rule__objective": "joint"}, r"^learning_rule\.objective=joint: "),
        ({"learning_rule__alpha": 0.0}, r"^learning_rule\.alpha=0\.0: "),
    ],
    ids=str,
)
def test_what_it_refuses(make_raw, settings, message):
    with pytest.raises(UserError, match=message):
        parse(make_raw(**SETTINGS | settings))


def test_one_output_is_a_bit(make_config):
    assert make_config(**SETTINGS | {"task": "parity", "k": 1}).task.n_outputs == 1


def test_bits_are_in_0_and_1_and_gaussians_are_not(make_config):
    others = {name: value for name, value in SETTINGS.items() if "dataset" not in name}
    assert make_config(**others | {"dataset": "xor", "k": 1})
    with pytest.raises(UserError, match=r"\[0, 1\] .*: dataset\.name=two_gaussians is not for it"):
        make_config(**others | {"dataset": "two_gaussians", "k": 1})
    alone = {"dataset": "two_gaussians", "k": 1, "learning_rule__objective": "discriminative"}
    assert make_config(**others | alone)
