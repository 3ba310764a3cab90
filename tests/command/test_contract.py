"""The contract that plugins are tested by: a rule that breaks it does not pass.

tests/learning_rule/test_contract.py tries it on every rule of fabench.
"""

import dataclasses

import pytest

from fabench.command import contract
from fabench.learning_rule.bp import Bp


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


BROKEN = {
    contract.it_learns: Frozen,
    contract.a_row_is_the_run_alone: Mixing,
    contract.rows_do_not_mix: Mixing,
    contract.a_run_goes_on: Hidden,
}


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_a_rule_that_breaks_it_is_found(make_config, check):
    config = make_config(learning_rule="bp", model__hidden=[6, 5], trainer__train_examples=64)
    check(config)
    broken = dataclasses.replace(config, learning_rule=BROKEN[check](name="bp"))
    with pytest.raises(AssertionError):
        check(broken)


def test_it_composes_as_the_command_line_does(make_config):
    config = contract.composed("dataset=digits", "k=1", "optimizer=adam", "seed=7")
    assert config.name() == make_config(
        dataset="digits", k=1, optimizer="adam", seed=[7], trainer__epochs=20,
        trainer__batch_size=128, trainer__train_examples=None, trainer__test_examples=None,
        model__hidden=[512],
    ).name()  # fmt: skip
