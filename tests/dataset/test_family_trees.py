"""The family trees: counts of the paper, and facts read off its picture."""

import numpy as np
import pytest

from fabench.dataset.family_trees import PEOPLE, RELATIONS, facts
from fabench.run import registry
from fabench.run.parsing import parse
from fabench.schema import UserError

COUNTS = {  # people of a family who have one
    "father": 6, "mother": 6, "husband": 5, "wife": 5, "son": 6, "daughter": 6, "brother": 3,
    "sister": 3, "uncle": 2, "aunt": 2, "nephew": 4, "niece": 4,
}  # fmt: skip
KNOWN = """
Colin aunt Margaret Jennifer
Charlotte uncle Arthur Charles
Victoria father Christopher
James mother Christine
Victoria brother Arthur
Victoria son Colin
Colin sister Charlotte
Charles wife Jennifer
Margaret nephew Colin
Charles niece Charlotte
Penelope daughter Victoria
Alfonso uncle Emilio Tomaso
Sophia aunt Gina Angela
Lucia husband Marco
Gina niece Sophia
Alfonso father Marco
"""


def family_trees(**settings):
    return registry.build(
        "dataset", {"name": "family_trees", "n_train": 100, "n_test": 4, **settings}
    )


def table():
    """{(person, relation): people} of all facts."""
    found = {}
    for x, y in zip(*facts(), strict=True):
        [person], [relation] = np.flatnonzero(x[:24]), np.flatnonzero(x[24:])
        assert set(np.unique(x)) == {0, 1} == set(np.unique(y))
        found[PEOPLE[person], RELATIONS[relation]] = {PEOPLE[j] for j in np.flatnonzero(y)}
    return found


def test_there_are_104_facts_112_relatives_and_those_known():
    found = table()
    assert len(found) == 104 and all(found.values())
    assert sum(map(len, found.values())) == 112
    for place in (PEOPLE[:12], PEOPLE[12:]):
        own = [relation for person, relation in found if person in place]
        assert {relation: own.count(relation) for relation in RELATIONS} == COUNTS
    for line in KNOWN.split("\n")[1:-1]:
        person, relation, *people = line.split()
        assert found[person, relation] == set(people), line


def test_both_families_are_alike():
    found, italian = table(), dict(zip(PEOPLE[:12], PEOPLE[12:], strict=True))
    for (person, relation), people in found.items():
        if person in italian:
            assert found[italian[person], relation] == {italian[p] for p in people}


def test_a_seed_parts_the_facts_and_draws_them_in_every_epoch():
    dataset = family_trees(n_train=90)
    streams = ("train", "test", "validation")
    sets = {stream: dataset.draw(3, stream, 1) for stream in streams}
    assert [len(sets[stream][0]) for stream in streams] == [90, 4, 10]
    for array, expected in zip(zip(*sets.values(), strict=True), facts(), strict=True):
        together = np.concatenate(array)
        assert together.dtype == np.float32
        assert sorted(together.tolist()) == sorted(expected.tolist())
    again, other = dataset.draw(3, "train", 2), dataset.draw(4, "train", 1)
    assert np.array_equal(again[0], sets["train"][0])
    assert np.array_equal(again[1], sets["train"][1])
    assert not np.array_equal(other[0], sets["train"][0])
    assert dataset.load().fixed


def test_there_are_not_more_facts():
    with pytest.raises(UserError, match=r"^dataset\.n_train=101, dataset\.n_test=4: "):
        family_trees(n_train=101)


@pytest.mark.parametrize(
    "wish", [{"trainer__early_stopping": "GL"}, {"trainer__evaluate_on": "validation"}]
)
def test_validation_data_have_to_be_left(make_config, wish):
    own = {"dataset": "family_trees", "task": "multi_label", **wish}
    with pytest.raises(UserError, match=r"^dataset\.n_train=100 leaves no facts for validation"):
        make_config(**own)
    assert make_config(**own, dataset__n_train=90).trainer.holds_out


def test_its_task_is_multi_label_alone(make_config, make_raw):
    config = make_config(dataset="family_trees", task="multi_label")
    assert (config.layers()[0].fan_in, config.layers()[-1].fan_out) == (36, 24)
    for settings in ({"dataset": "family_trees"}, {"task": "multi_label"}):
        with pytest.raises(UserError, match="multi_label is the task of family_trees"):
            parse(make_raw(**settings))
    own = {"dataset": "arrays", "dataset__path": "of_numbers.npz", "task": "regression"}
    with pytest.raises(UserError, match="regression is the task of linear_teacher"):
        parse(make_raw(**own))  # before it is read
