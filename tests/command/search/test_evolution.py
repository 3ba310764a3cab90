"""Evolution of formulas. Oracles: a made-up score whose best is known, a search that went through.

A formula's score is how many of some words it has, at the rate 0.1; less at others.
"""

from collections import Counter
from pathlib import Path

import pytest

from fabench.command import cli
from fabench.command.search.base.method import PointScore
from fabench.command.search.base.subject import Subject, Tuning
from fabench.command.search.evolution import EPOCHS, FORMULA, RATE, Evolution, Generations, written
from fabench.learning_rule.language.chain import CATEGORIES
from fabench.learning_rule.language.shapes import misfit
from fabench.learning_rule.language.tree import parse
from fabench.model.layer.network import Layer
from fabench.run.statistics import summarize
from fabench.schema import UserError

LAYERS = (Layer(7, 5), Layer(5, 4), Layer(4, 2))
WORDS = ("g", "h", "fro", "D", "b_top")
SETTINGS = {
    "name": "evolution", "trials": 26, "batch": 4, "random_formulas": 6, "kept": 3,
    "best_probability": 0.7, "rates": [0.1, 1.0], "short_epochs": None, "seed": 0,
}  # fmt: skip


def height(point):
    words = sum(word in point[FORMULA] for word in WORDS) / len(WORDS)
    return words - 0.01 * len(point[FORMULA]) / 100 - (point[RATE] != 0.1) / 10


def search(stop=None, height=height, **settings):
    """The method and its batches, up to the one of number ``stop``, which is not told."""
    method, batches, scores = Generations(Evolution(**SETTINGS | settings), LAYERS), [], []
    while points := method.ask():
        batches.append(points)
        if len(batches) == stop:
            break
        scores += [PointScore(p, summarize([height(p)]), 0) for p in points]
        method.tell(scores)
    return method, batches


def test_every_formula_is_a_new_one_that_fits_at_every_rate():
    method, batches = search()
    assert [len(batch) for batch in batches] == [12, 8, 8, 8, 8, 8]
    formulas = Counter(point[FORMULA] for batch in batches for point in batch)
    assert len(formulas) == 26 and set(formulas.values()) == {2}
    assert list(formulas) == list(method.chains)
    for formula in formulas:
        assert misfit(parse(formula), LAYERS) is None
        assert written(parse(formula)) == formula
    assert [point[RATE] for point in batches[0][:4]] == [0.1, 1.0, 0.1, 1.0]


def differences(one, other):
    """In how many places two chains differ; many if they are of different length."""
    pairs = [
        pair for c in CATEGORIES for pair in zip(getattr(one, c), getattr(other, c), strict=False)
    ]
    if len(one.binaries) != len(other.binaries):
        return len(pairs)
    return sum(a != b for a, b in pairs)


def test_children_differ_from_one_of_the_best_in_one_place():
    """Of kept=1 and probability 1: from the best of before their batch."""
    method, batches = search(kept=1, best_probability=1.0)
    chains = method.chains
    for n, batch in enumerate(batches[1:], 1):
        before = [point for earlier in batches[:n] for point in earlier]
        parent = chains[max(before, key=height)[FORMULA]]
        for point in batch:
            assert differences(chains[point[FORMULA]], parent) == 1
    assert max(map(height, batches[-1])) > max(map(height, batches[0]))


def test_others_have_children_too():
    """Of probability 0: none from the best."""
    method, batches = search(kept=1, best_probability=0.0)
    chains = method.chains
    first = {point[FORMULA] for point in batches[0]}
    best = max(batches[0], key=height)[FORMULA]
    for point in batches[1]:
        child = chains[point[FORMULA]]
        assert any(differences(child, chains[other]) == 1 for other in first - {best})


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been():
    _, whole = search()
    for stop in (1, 3, 5):
        assert search(stop=stop)[1] == whole[:stop]
    assert search(trials=14)[1] == whole[:3]
    assert search(seed=1)[1][0] != whole[0]


def test_after_a_short_training_the_better_half_goes_on():
    _, batches = search(short_epochs=2)
    short, after = batches[::2], batches[1::2]
    long = [[point for point in batch if EPOCHS not in point] for batch in after]
    assert [len(batch) for batch in short] == [12, 8, 8, 8, 8, 8]
    assert all(point[EPOCHS] == 2 for batch in short for point in batch)
    for tried, again, went_on in zip(short, after, long, strict=True):
        assert again == [point | {EPOCHS: 2} for point in went_on] + went_on
        formulas = sorted({p[FORMULA] for p in tried}, reverse=True,
                          key=lambda f: height({FORMULA: f, RATE: 0.1}))  # fmt: skip
        assert {p[FORMULA] for p in went_on} == set(formulas[: len(formulas) // 2])
    scores = [PointScore(p, summarize([1.0 * (EPOCHS in p)]), 0) for p in [*short[0], *long[0]]]
    finished = Evolution(**SETTINGS | {"short_epochs": 2}).finished(scores)
    assert [score.point for score in finished] == long[0]


def test_a_short_training_never_beats_a_whole_one():
    method, _ = search(height=lambda p: height(p) + 5 * (EPOCHS in p), short_epochs=1, trials=10)
    whole = {formula for formula, (finished, _) in method.scores.items() if finished}
    ranked = sorted(method.scores, key=method.scores.__getitem__, reverse=True)
    assert set(ranked[: len(whole)]) == whole


@pytest.mark.parametrize(
    ("rule", "change", "told"),
    [
        ("dfa", {}, r"^search=evolution is of formulas: not of learning_rule=dfa\.$"),
        ("formula", {"short_epochs": 2}, r"^search\.short_epochs=2: it should be less than"),
    ],
)
def test_what_cannot_be_searched_is_refused(make_raw, tmp_path, rule, change, told):
    tuning = Tuning("optimizer.lr", 10.0, "validation", 1, "best", False, 0, [200])
    subject = Subject(make_raw(learning_rule=rule), tuning)
    with pytest.raises(UserError, match=told):
        Evolution(**SETTINGS | change).start(subject, tmp_path)


def test_fabench_tune_evolves_and_goes_on(workdir, capsys):
    words = [
        "tune", "learning_rule=formula", "search=evolution", "search.random_formulas=2",
        "search.batch=1", "search.rates=[0.1,1]", "search.short_epochs=1", "dataset=digits", "k=1",
        "seed=0", "trainer.epochs=2", "trainer.train_examples=64", "trainer.test_examples=60",
        "trainer.device=cpu", "model.hidden=[4]", "tune.save=false",
    ]  # fmt: skip
    assert cli.main([*words, "search.trials=2"]) == 0
    [table] = Path().glob("outputs/tune/*/tune.csv")
    first = table.read_text().splitlines()
    assert first[0].startswith("learning_rule.formula,optimizer.lr,trainer.epochs,split,")
    assert first[0].endswith(",diverged,angle_to_bp")
    assert len(first) == 1 + 4 + 2
    assert cli.main([*words, "search.trials=3"]) == 0
    again = table.read_text().splitlines()
    assert again[: len(first)] == first
    assert len(again) == len(first) + 4
    out = capsys.readouterr().out
    assert "Chosen on validation data: learning_rule.formula=" in out
    assert "epoch 2/2" in out and "epoch 1/2" not in out  # it goes on from the first epoch
