"""An activation for each hidden layer. Oracles: autograd; DFA's equation, layer by layer."""

import pytest
import torch

from fabench.population.population import Row
from fabench.run.trainer import population_of
from fabench.schema import UserError

CPU = torch.device("cpu")
MIXED = {
    "model__hidden": [6, 5, 4], "model__activation": ["tanh", "softplus", "sigmoid"],
    "task": "classification", "trainer__precision": "fp32", "k": 1,
}  # fmt: skip


@pytest.fixture
def wishes(make_config):
    """What a rule descends on one batch of the mixed network: population, x, e at the outputs, and
    gradients by name."""

    def build(rule):
        config = make_config(**MIXED, learning_rule=rule)
        people = population_of(config, [Row(0, config.scalars())], CPU)
        rng = torch.Generator().manual_seed(0)
        x = torch.randn(1, 7, 64, generator=rng)
        y = config.task.targets(torch.randint(10, (1, 7, 1), generator=rng))
        return people, x, y, people.part(slice(0, 1)).wishes(x, y)

    return build


def passed(W, x):
    """The network in torch's words: pre-activations."""
    a = [x @ W[0]]
    for f, w in zip((torch.tanh, torch.nn.functional.softplus, torch.sigmoid), W[1:], strict=True):
        a.append(f(a[-1]) @ w)
    return a


def test_backpropagation_is_autograd(wishes):
    people, x, y, found = wishes("bp")
    W = [w.clone().requires_grad_() for w in people.matrices("W")]
    people.task.objective.value(passed(W, x)[-1], y).mean(1).sum().backward()
    torch.testing.assert_close(people.outputs(x), passed(W, x)[-1].detach())
    for number, w in enumerate(W):
        torch.testing.assert_close(found[f"W{number}"], w.grad)


def test_feedback_goes_through_each_layers_own_derivative(wishes):
    people, x, y, found = wishes("dfa")
    W, B = people.matrices("W"), people.matrices("B")
    a = passed(W, x)
    e = torch.softmax(a[-1], -1) - y
    slopes = (1 - a[0].tanh() ** 2, a[1].sigmoid(), a[2].sigmoid() * (1 - a[2].sigmoid()))
    inputs = (x, a[0].tanh(), torch.nn.functional.softplus(a[1]))
    for number, (b, slope, h) in enumerate(zip(B, slopes, inputs, strict=True)):
        torch.testing.assert_close(found[f"W{number}"], h.mT @ (e @ b * slope) / 7)


@pytest.mark.parametrize("rule", ["predictive_coding", "equilibrium_propagation", "pepita",
    "target_propagation", "weight_mirror", "forward_forward", "weight_search", "pblf",
])  # fmt: skip
def test_other_rules_take_it_too(make_config, rule):
    config = make_config(**MIXED, learning_rule=rule)
    people = population_of(config, [Row(0, config.scalars())], CPU)
    x, y = torch.rand(1, 7, 64), config.task.targets(torch.arange(7).view(1, 7, 1))
    assert people.step(x, y).isfinite().all()


def test_a_list_has_each_hidden_layers_name(make_config):
    layers = make_config(**MIXED).layers()
    assert [layer.activation for layer in layers] == ["tanh", "softplus", "sigmoid", "linear"]
    one = make_config(model__hidden=[6, 5], model__activation="tanh")
    assert {layer.activation for layer in one.layers()} == {"tanh"}
    residual = make_config(**MIXED | {"model": "residual_mlp", "model__hidden": [6, 6, 6]})
    assert [layer.activation for layer in residual.layers()[:3]] == MIXED["model__activation"]


@pytest.mark.parametrize("model", ["convnet", "wide_resnet"])
def test_convolutions_have_one(make_config, model):
    hidden = [] if model == "wide_resnet" else [3, 4]
    settings = {"model": model, "model__hidden": hidden, "k": 1}
    make_config(**settings)
    with pytest.raises(UserError, match=rf"^model\.activation=.*model={model} takes one for all"):
        make_config(**settings, model__activation=["relu"] * len(hidden))


def test_a_list_of_another_length_is_refused(make_config):
    with pytest.raises(UserError, match="name one, or 3, one for each hidden layer"):
        make_config(**MIXED | {"model__activation": ["tanh", "relu"]})


def test_a_machine_has_sigmoid_units(make_config):
    machine = {"learning_rule": "contrastive_divergence", "task": "classification"}
    machine["dataset__scaling"] = "unit"
    assert make_config(**machine, model__activation=["sigmoid"])
    with pytest.raises(UserError, match="of sigmoid units"):
        make_config(**machine, model__activation=["tanh"])
