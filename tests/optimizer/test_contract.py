"""What every optimizer must do. A new one is tested by being there; see TORCH to compare it.

Axes: R rows, I fan-in, O fan-out.
"""

import dataclasses
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from fabench.run import registry
from fabench.schema import Fraction, NonNegative, Rate, UserError, scalars

CONF = Path(__file__).parents[2] / "conf" / "optimizer"
NAMES = registry.names("optimizer")


def defaults(name: str) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))


def fields(name: str) -> dict[str, Any]:
    """A configuration class's fields: name and type."""
    cls = type(registry.build("optimizer", defaults(name)))
    return {f.name: f.type for f in dataclasses.fields(cls)}


def choices(kind: Any) -> tuple:
    if kind is bool:
        return (True, False)
    return get_args(kind) if get_origin(kind) is Literal else ()


def variants(name: str) -> list[dict[str, Any]]:
    """The YAML's settings with every combination of the named options."""
    options = {key: choices(kind) for key, kind in fields(name).items() if choices(kind)}
    combinations = itertools.product(*options.values())
    return [defaults(name) | dict(zip(options, values, strict=True)) for values in combinations]


def shown(config: dict[str, Any]) -> str:
    """A test's id: the optimizer's name and its options."""
    options = (f"{k}={v}" for k, v in config.items() if isinstance(v, (str, bool)) and k != "name")
    return "-".join([config["name"], *options])


VARIANTS = [config for name in NAMES for config in variants(name)]
every_optimizer = pytest.mark.parametrize("config", VARIANTS, ids=shown)

SHAPE = (3, 5, 4)  # R, I, O


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gradient(W: Tensor, t: int) -> Tensor:
    """Of the loss sum(scale (W - target_t)^2 / 2), whose target moves.

    Scales from 1e-6 to 1 along O show where epsilon is; a scale of 0 is a weight that never has
    a gradient.
    """
    scale = torch.tensor([0, 1e-6, 1e-3, 1], dtype=W.dtype)
    return scale * (W - random(*SHAPE, seed=t, dtype=W.dtype))


def floats(config: dict[str, Any]) -> SimpleNamespace:
    optimizer = registry.build("optimizer", config)
    return SimpleNamespace(**{key: getattr(optimizer, key) for key in scalars(type(optimizer))})


def per_row(config: dict[str, Any], dtype: torch.dtype = torch.float64) -> SimpleNamespace:
    """For every row its own float fields, as tensors [R, 1, 1]."""
    spread = {
        Rate: [0.01, 0.02, 0.05],
        Fraction: [0.5, 0.9, 0.99],
        NonNegative: [1e-8, 1e-6, 1e-3],
    }
    kinds = fields(config["name"])
    return SimpleNamespace(
        **{
            key: torch.tensor(spread[kinds[key]], dtype=dtype).view(-1, 1, 1)
            for key in vars(floats(config))
        }
    )


def row(h: SimpleNamespace, r: int) -> SimpleNamespace:
    return SimpleNamespace(**{key: value[r : r + 1] for key, value in vars(h).items()})


def assert_same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-14)


# torch.optim's class and settings for ours, and its name and factor for each part of our state.

MOMENTS = {"first_moment": ("exp_avg", 1), "second_moment": ("exp_avg_sq", 1)}


def adam_like(c: dict[str, Any]) -> dict[str, Any]:
    return {"lr": c["lr"], "betas": (c["beta1"], c["beta2"]), "eps": c["epsilon"]}


def sgd_like(c: dict[str, Any]) -> dict[str, Any]:
    return {"lr": c["lr"], "momentum": c["momentum"]}


TORCH = {
    "sgd": lambda c: (torch.optim.SGD, {"lr": c["lr"]}, {}),
    "momentum": lambda c: (
        torch.optim.SGD,
        sgd_like(c),
        {"velocity": ("momentum_buffer", c["lr"])},
    ),
    "nesterov": lambda c: (
        torch.optim.SGD,
        sgd_like(c) | {"nesterov": True},
        {"velocity": ("momentum_buffer", c["lr"])},
    ),
    "adagrad": lambda c: (
        torch.optim.Adagrad,
        {"lr": c["lr"], "eps": c["epsilon"]},
        {"sum_of_squares": ("sum", 1)},
    ),
    "adadelta": lambda c: (
        torch.optim.Adadelta,
        {"lr": c["lr"], "rho": c["rho"], "eps": c["epsilon"]},
        {"mean_square_gradient": ("square_avg", 1), "mean_square_update": ("acc_delta", 1)},
    ),
    "rmsprop": lambda c: (
        torch.optim.RMSprop,
        {"lr": c["lr"], "alpha": c["rho"], "eps": c["epsilon"]},
        {"mean_square": ("square_avg", 1)},
    ),
    "adam": lambda c: (torch.optim.Adam, adam_like(c), MOMENTS),
    "adamax": lambda c: (
        torch.optim.Adamax,
        adam_like(c),
        {"first_moment": ("exp_avg", 1), "infinity_norm": ("exp_inf", 1)},
    ),
    "nadam": lambda c: (torch.optim.NAdam, adam_like(c), MOMENTS),
    "nadamw": lambda c: (
        torch.optim.NAdam,
        adam_like(c)
        | {"weight_decay": c["decoupled_weight_decay"], "decoupled_weight_decay": True},
        MOMENTS,
    ),
    "amsgrad": lambda c: (
        torch.optim.Adam,
        adam_like(c) | {"amsgrad": True},
        MOMENTS | {"largest_second_moment": ("max_exp_avg_sq", 1)},
    ),
}
NOT_TORCH = {
    ("epsilon_place", "inside"),
    ("accumulates", "scaled_update"),
    ("momentum_schedule", "constant"),
    ("bias_correction", False),
    ("bias_correction", "epoch"),
}
"""The values of the named options that torch.optim does not have."""

IN_TORCH = [
    config for config in VARIANTS if config["name"] in TORCH and not config.items() & NOT_TORCH
]


@pytest.fixture
def double_precision():
    """torch.optim.NAdam keeps a running product in the default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("config", IN_TORCH, ids=shown)
def test_follows_torch(config, double_precision):
    config = config | {"lr": 0.03}
    ours = registry.build("optimizer", config)
    W, h = random(*SHAPE, seed=0), floats(config)
    state = ours.initial_state(W)

    cls, settings, parts = TORCH[config["name"]](config)
    theirs_W = W.clone().requires_grad_()
    theirs = cls([theirs_W], **settings)

    for t in range(1, 51):
        ours.update_(W, gradient(W, t), state, ours.at_step(t, h))
        theirs_W.grad = gradient(theirs_W.detach(), t)
        theirs.step()
        assert_same(W, theirs_W.detach())
        assert state.keys() == parts.keys()
        for part, (name, factor) in parts.items():
            assert_same(state[part], factor * theirs.state[theirs_W][name])


def test_every_torch_optimizer_is_compared():
    assert {config["name"] for config in IN_TORCH} == TORCH.keys()


@every_optimizer
def test_rows_of_a_population_are_runs_of_their_own(config):
    optimizer, h = registry.build("optimizer", config), per_row(config)
    W = random(*SHAPE, seed=0)
    alone = list(W.clone().split(1))
    state, states = optimizer.initial_state(W), [optimizer.initial_state(w) for w in alone]
    for t in range(1, 11):
        g = gradient(W, t)
        optimizer.update_(W, g, state, optimizer.at_step(t, h))
        for r, w in enumerate(alone):
            own = SimpleNamespace(**{key: value.item() for key, value in vars(row(h, r)).items()})
            optimizer.update_(w, g[r : r + 1], states[r], optimizer.at_step(t, own))
    assert_same(W, torch.cat(alone))
    for part in state:
        assert_same(state[part], torch.cat([s[part] for s in states]))
    steps = (W - random(*SHAPE, seed=0))[:, :, -1].abs().amax(1)
    assert steps.unique().numel() == len(steps)  # the rows do differ


@every_optimizer
def test_a_weight_may_be_updated_in_blocks(config):
    optimizer, h = registry.build("optimizer", config), per_row(config)
    whole = random(*SHAPE, seed=0)
    parts = whole.clone()
    state, in_parts = optimizer.initial_state(whole), optimizer.initial_state(parts)
    blocks = [(0, slice(0, 5), slice(0, 4)), (1, slice(0, 2), slice(0, 4))]  # a row, part of one
    blocks += [(1, slice(2, 5), slice(0, 4)), (2, slice(0, 5), slice(0, 1))]
    blocks += [(2, slice(0, 5), slice(1, 4))]
    for t in range(1, 6):
        g = gradient(whole, t)
        optimizer.update_(whole, g, state, optimizer.at_step(t, h))
        for r, i, o in blocks:
            at = (slice(r, r + 1), i, o)
            block = {part: s[at] for part, s in in_parts.items()}
            optimizer.update_(parts[at], g[at], block, optimizer.at_step(t, row(h, r)))
    assert_same(parts, whole)
    for part in state:
        assert_same(in_parts[part], state[part])


@every_optimizer
def test_the_gradient_is_left_as_it_is(config):
    optimizer, h = registry.build("optimizer", config), floats(config)
    W = random(*SHAPE, seed=0)
    state, g = optimizer.initial_state(W), random(*SHAPE, seed=1)
    for t in (1, 2):
        optimizer.update_(W, g, state, optimizer.at_step(t, h))
    assert torch.equal(g, random(*SHAPE, seed=1))
    assert not torch.equal(W, random(*SHAPE, seed=0))


@every_optimizer
@pytest.mark.parametrize("scalar", [floats, per_row], ids=["float", "tensor"])
def test_bf16_gradients_keep_fp32_weights_and_state(config, scalar):
    optimizer = registry.build("optimizer", config)
    h = floats(config) if scalar is floats else per_row(config, torch.float32)
    W = random(*SHAPE, seed=0, dtype=torch.float32)
    exact = W.double()
    state, exact_state = optimizer.initial_state(W), optimizer.initial_state(exact)
    for t in range(1, 6):
        g = gradient(W, t).bfloat16()  # as float32 when the population hands it over
        optimizer.update_(W, g.float(), state, optimizer.at_step(t, h))
        optimizer.update_(exact, g.double(), exact_state, optimizer.at_step(t, scalar(config)))
    assert all(x.dtype == torch.float32 and x.isfinite().all() for x in [W, *state.values()])
    # bf16 rounds to 8 bits: 2^-9 for each of the few roundings of the gradient.
    moved, should_move = W - random(*SHAPE, seed=0, dtype=torch.float32), exact.float()
    should_move -= random(*SHAPE, seed=0, dtype=torch.float32)
    torch.testing.assert_close(moved, should_move, rtol=4 * 2**-9, atol=1e-3 * moved.abs().max())


@every_optimizer
def test_state_starts_with_the_shape_of_the_weight(config):
    W = random(*SHAPE, seed=0, dtype=torch.float32)
    state = registry.build("optimizer", config).initial_state(W)
    assert all((s.shape, s.dtype) == (W.shape, W.dtype) for s in state.values())


COMMON = {
    "lr": Rate,
    "momentum": Fraction,
    "rho": Fraction,
    "beta1": Fraction,
    "beta2": Fraction,
    "epsilon": NonNegative,
}


@pytest.mark.parametrize("name", NAMES)
def test_settings_of_one_name_have_one_range(name):
    kinds = fields(name)
    for key in COMMON.keys() & kinds.keys():
        assert kinds[key] is COMMON[key], key


WRONG = {Rate: [0.0], Fraction: [1.0], NonNegative: []}
EVERYWHERE = [-0.1, float("nan"), float("inf"), "0.1", True, None]


@pytest.mark.parametrize("name", NAMES)
def test_wrong_floats_are_refused_by_name(name):
    kinds = fields(name)
    for key in vars(floats(defaults(name))):
        for value in EVERYWHERE + WRONG[kinds[key]]:
            shown = {"True": "true", "None": "null"}.get(str(value), value)
            with pytest.raises(UserError, match=rf"^optimizer\.{key}={shown}: "):
                registry.build("optimizer", defaults(name) | {key: value})


@pytest.mark.parametrize("name", NAMES)
def test_wrong_options_are_refused_by_name(name):
    for key, kind in fields(name).items():
        if choices(kind):
            for value in ("sideways", 1):
                with pytest.raises(UserError, match=rf"^optimizer\.{key}={value}: "):
                    registry.build("optimizer", defaults(name) | {key: value})


@pytest.mark.parametrize("name", NAMES)
def test_yaml_states_every_setting_and_describes_itself(name):
    assert list(defaults(name)) == list(fields(name))
    cls = type(registry.build("optimizer", defaults(name)))
    later = {f.name for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING}
    for key in fields(name):
        config = defaults(name)
        del config[key]
        if key in later:  # a run of before it had none
            assert registry.build("optimizer", config) == registry.build(
                "optimizer", defaults(name)
            )
        elif key != "name":
            with pytest.raises(UserError, match=rf"^optimizer\.{key} is missing"):
                registry.build("optimizer", config)
    first = (CONF / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith(".")
