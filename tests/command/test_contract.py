"""The contract that plugins are tested by: a rule that breaks it does not pass.

tests/learning_rule/test_contract.py tries it on every rule of fabench.
"""

import dataclasses

import pytest

from fabench.command import contract
from fabench.learning_rule.bp import Bp
from fabench.optimizer.sgd import Sgd


class Frozen(Bp):
    """The first layer does not learn."""

    def teaching_signals(self, e, y, forward, part):
        signals = super().teaching_signals(e, y, forward, part)
        return signals | {0: 0 * signals[0]}


class Mixing(Bp):
    """What is sent is the mean of all rows'."""

    def teaching_signals(self, e, y, forward, part):
        signals = super().teaching_signals(e, y, forward, part)
        return signals | {0: signals[0].mean(0, keepdim=True).expand_as(signals[0])}


class Hidden(Bp):
    """The third step of an object is another: nothing of that is saved."""

    def teaching_signals(self, e, y, forward, part):
        signals = super().teaching_signals(e, y, forward, part)
        object.__setattr__(self, "calls", getattr(self, "calls", 0) + 1)
        return signals | {0: signals[0] * (2 if self.calls == 3 else 1)}


class Drawing(Bp):
    """What is sent is noisy, and it does not say so."""

    def teaching_signals(self, e, y, forward, part):
        signals = super().teaching_signals(e, y, forward, part)
        return signals | {0: signals[0] * (1 + part.noise("mine", signals[0].shape[1:]))}


class Late(Bp):
    """The second epoch is another."""

    def teaching_signals(self, e, y, forward, part):
        signals = super().teaching_signals(e, y, forward, part)
        return signals | {0: signals[0] * (2 if part.epoch > 1 else 1)}


class Normalised(Sgd):
    """A step's length is a matrix's."""

    def update_(self, W, g, state, h):
        super().update_(W, g / g.norm(), state, h)


BROKEN = {
    contract.it_learns: [Frozen],
    contract.a_row_is_the_run_alone: [Mixing],
    contract.rows_do_not_mix: [Mixing],
    contract.a_run_goes_on: [Hidden],
    contract.it_says_that_it_draws: [Drawing, Late],
    contract.an_update_is_elementwise: [Normalised],
}


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_a_rule_that_breaks_it_is_found(make_config, check):
    config = make_config(learning_rule="bp", model__hidden=[6, 5], trainer__train_examples=64)
    check(config)
    for kind in BROKEN[check]:
        if issubclass(kind, Sgd):
            broken = dataclasses.replace(config, optimizer=kind(name="sgd", lr=0.1))
        else:
            broken = dataclasses.replace(config, learning_rule=kind(name="bp"))
        with pytest.raises(AssertionError):
            check(broken)


def test_it_composes_as_the_command_line_does(make_config):
    config = contract.composed("dataset=digits", "k=1", "optimizer=adam", "seed=7")
    assert config.name() == make_config(
        dataset="digits", k=1, optimizer="adam", seed=[7], trainer__epochs=20,
        trainer__batch_size=128, trainer__train_examples=None, trainer__test_examples=None,
        model__hidden=[512],
    ).name()  # fmt: skip
