"""Oracle: torch.autograd of every layer's loss, in float64, network by network.

Axes: R rows, B batch, I fan-in, O fan-out, C classes. Layers are counted from 0.
"""

import pytest
import torch
from by_hand import HandPart
from torch.nn import functional

from fabench.learning_rule.forward_forward import ForwardForward
from fabench.population.population import Row
from fabench.run.trainer import population_of
from fabench.schema import UserError
from fabench.task.base import LOSSES

F = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "linear": lambda a: a}
every_activation = pytest.mark.parametrize("activation", F)
every_depth = pytest.mark.parametrize("widths", [(9, 5, 3), (9, 6, 5, 4, 3), (9, 6, 5, 1)], ids=str)


def ff(negatives="hard", answer="goodness"):
    return ForwardForward("forward_forward", 0.3, 1.5, negatives, answer)


def labelled(net):
    """Labels y [R, B, C] in the place of the network's own."""
    C = net.layers[-1].fan_out
    number = torch.arange(12).view(3, 4) * 5 % 7
    return (
        (number % 2)[..., None].double() if C == 1 else functional.one_hot(number % C, C).double()
    )


def part_of(net, loss, noise=None):
    noise = noise or (lambda stream, shape: net.normal(3, *shape))
    return HandPart(net.layers, noise, LOSSES[loss], **vars(net.weights))


def normalised(h):
    return h / ((h**2).mean(-1, keepdim=True) ** 0.5).clamp(1e-8)


def one_network(net, r, f, x, u):
    """Its hidden layers' inputs and preactivations, and a_L, for x [B, I] and u [B, K]."""
    h, inputs, a = torch.cat([1.5 * u, x[:, u.shape[1] :]], 1), [], []
    for W, b in zip(net.weights.W, net.weights.b, strict=True):
        inputs.append(normalised(h))
        a.append(inputs[-1] @ W[r] + b[r])
        h = f(a[-1])
    return inputs, a[:-1], a[-1]


@pytest.mark.parametrize("answer", ["goodness", "readout"])
@every_activation
@every_depth
def test_follows_the_equations_network_by_network(draw_network, widths, activation, answer):
    net, f, C = draw_network(widths, activation, bias=True), F[activation], widths[-1]
    loss = "sigmoid_cross_entropy" if C == 1 else "softmax_cross_entropy"
    y, K, rule = labelled(net), max(C, 2), ff(answer=answer)
    part, chosen = part_of(net, loss), {}
    plain, wrong = rule.wrong, {}
    object.__setattr__(rule, "wrong", lambda *args: wrong.setdefault("z", plain(*args)))
    output = rule.learn(part, net.x, y)
    assert part.descended.keys() == {f"{k}{n}" for k in "Wb" for n in range(len(widths) - 1)}
    for r in range(3):
        right = y[r] if C > 1 else torch.cat([1 - y[r], y[r]], 1)
        z = wrong["z"][r]
        assert ((z * right).sum(1) == 0).all() and (z.sum(1) == 1).all()
        for n in range(len(widths) - 2):
            W, b = (m[n][r].clone().requires_grad_() for m in (net.weights.W, net.weights.b))
            total = 0
            for u, sign in ((right, -1), (z, 1)):
                inputs, _, _ = one_network(net, r, f, net.x[r], u)
                goodness = (f(inputs[n] @ W + b) ** 2).sum(1)
                total = total + functional.softplus(sign * (goodness - 0.3 * widths[n + 1])).sum()
            (total / 4).backward()
            assert W.grad.any()
            torch.testing.assert_close(part.descended[f"W{n}"][0][r], W.grad, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(
                part.descended[f"b{n}"][0][r].double(), b.grad, rtol=1e-5, atol=1e-5
            )
        inputs, _, a = one_network(net, r, f, net.x[r], torch.full((4, K), 1 / K))
        e = (a.sigmoid() if C == 1 else a.softmax(1)) - y[r]
        torch.testing.assert_close(part.descended[f"W{len(widths) - 2}"][0][r],
                                   inputs[-1].T @ e / 4, rtol=1e-5, atol=1e-7)  # fmt: skip
        for c in range(K):
            u = functional.one_hot(torch.full((4,), c), K).double()
            _, hidden, _ = one_network(net, r, f, net.x[r], u)
            counted = hidden[1:] if len(hidden) > 1 else hidden
            chosen[c] = sum((f(own) ** 2).sum(1) for own in counted)
        goodness = torch.stack([chosen[c] for c in range(K)], 1)
        expected = goodness if C > 1 else (chosen[1] - chosen[0])[:, None]
        expected = a if answer == "readout" else expected
        torch.testing.assert_close(output[r].double(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rule.outputs(part, net.x), output)


@pytest.mark.parametrize("negatives", ["hard", "uniform"])
def test_wrong_labels_are_as_likely_as_the_readout_finds_them(draw_network, negatives):
    net = draw_network((9, 5, 3))
    rng = torch.Generator().manual_seed(0)
    noise = lambda stream, shape: torch.randn(3, *shape, generator=rng)  # noqa: E731
    part = part_of(net, "softmax_cross_entropy", noise)
    a = torch.tensor([1.0, 0.5, -1.0]).expand(3, 4000, 3)
    right = torch.tensor([1.0, 0.0, 0.0]).expand(3, 4000, 3)
    share = ff(negatives).wrong(part, a, right).mean(1)
    p = a[0, 0].softmax(0)
    hard = p[1] / (p[1] + p[2]) if negatives == "hard" else 0.5
    assert (share[:, 0] == 0).all()
    assert ((share[:, 1] - hard).abs() < 0.03).all()


def test_a_wrong_label_is_drawn_of_a_readout_that_is_sure(draw_network):
    net = draw_network((9, 5, 3))
    part = part_of(net, "softmax_cross_entropy", lambda stream, shape: torch.zeros(3, *shape))
    right = torch.tensor([1.0, 0.0, 0.0]).expand(3, 4, 3)
    for a in ([500.0, 0.0, 0.0], [0.0, 0.0, 500.0]):
        drawn = ff().wrong(part, torch.tensor(a).expand(3, 4, 3), right)
        assert (drawn[..., 0] == 0).all() and (drawn.sum(2) == 1).all()
    assert (drawn[..., 2] == 1).all()


def test_hard_negatives_take_probabilities(make_config):
    settings = {"learning_rule": "forward_forward", "task": "classification"}
    settings |= {"task__loss": "squared_error", "model__hidden": [8]}
    with pytest.raises(UserError, match="needs probabilities for negatives=hard"):
        make_config(**settings)
    make_config(**settings, learning_rule__negatives="uniform")


@pytest.mark.parametrize("answer", ["goodness", "readout"])
def test_it_learns_which_label_belongs_to_an_input(make_config, answer):
    config = make_config(
        learning_rule="forward_forward", learning_rule__answer=answer, task="classification",
        model__hidden=[40, 40], optimizer="adam", optimizer__lr=0.01, model__bias=True,
        learning_rule__label_scale=3.0,
    )  # fmt: skip
    people = population_of(config, [Row(s, config.scalars()) for s in (0, 1)], torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    label = torch.randint(10, (2, 100), generator=rng)
    y = functional.one_hot(label, 10).float()
    x = 0.5 * torch.randn(2, 100, 64, generator=rng)
    x[..., 20:60] += y.repeat_interleave(4, 2)
    before = (people.outputs(x).argmax(2) == label).float().mean(1)
    for _ in range(130):
        people.step(x, y)
    after = (people.outputs(x).argmax(2) == label).float().mean(1)
    assert (before < 0.3).all()
    assert (after > 0.75).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "convnet"}, "is not defined for convolutions"),
        ({"model__hidden_dropout": 0.1}, "is not defined for dropout"),
        ({"model__hidden": []}, "needs a hidden layer"),
        ({"dataset": "encoder", "task": "reconstruction"}, "more of them than classes"),
        ({"dataset": "linear_teacher", "task": "regression"}, "asks for an example's class"),
    ],
    ids=str,
)
def test_what_it_refuses(make_config, settings, message):
    with pytest.raises(UserError, match=message):
        make_config(learning_rule="forward_forward", k=1, **settings)
