"""Equations drawn and mutated. Oracles: counts, shapes, the document's lists."""

from collections import Counter

import numpy as np
from scipy import stats

from fabench.learning_rule.language.chain import CATEGORIES, Chain, mutated, random_chain
from fabench.learning_rule.language.shapes import misfit
from fabench.learning_rule.language.tree import parse, text
from fabench.model.layer.network import Layer

NET = (Layer(7, 5), Layer(5, 4), Layer(4, 2))
BP = Chain(("g", "h"), ("x", "x"), ("x",))


def fits(node):
    return misfit(node, NET) is None


def anything(node):
    return True


def test_a_chain_is_a_formula():
    assert text(BP.tree()) == "g"
    winner = Chain(("q", "g"), ("x - 10", "x / norm2(x)"), ("max(x, y)",))
    assert text(winner.tree()) == "max(q - 10, g / norm2(g))"
    three = Chain(("g", "bn(D)", "W", "h"), ("x", "sign(x)", "abs(x)", "t(x)", "x / fro(x)", "x"),
                  ("x * y", "x @ y", "x - y"))  # fmt: skip
    inner = "abs(g * sign(bn(D))) @ t(W)"
    assert text(three.tree()) == f"{inner} / fro({inner}) - h"


def test_the_space_is_the_documents():
    assert {name: len(words) for name, words in CATEGORIES.items()} == {
        "operands": 17 * 4, "unaries": 14 + 4 + 10 + 12 + 3 + 19, "binaries": 8,
    }  # fmt: skip


def test_random_chains_have_right_shapes_and_every_length():
    rng = np.random.default_rng(0)
    drawn = [random_chain(rng, fits) for _ in range(200)]
    assert all(fits(chain.tree()) for chain in drawn)
    assert {len(chain.binaries) for chain in drawn} == {1, 2, 3}
    assert len(set(drawn)) > 190
    assert drawn[0] == random_chain(np.random.default_rng(0), fits)


def test_a_thousand_mutations_change_one_place_each_and_keep_shapes_right():
    rng, chain = np.random.default_rng(0), BP
    for _ in range(1000):
        child = mutated(chain, rng, fits)
        assert fits(child.tree())
        pairs = [
            (old, new)
            for category in CATEGORIES
            for old, new in zip(getattr(chain, category), getattr(child, category), strict=True)
        ]
        assert sum(old != new for old, new in pairs) == 1
        chain = child
    assert parse(text(chain.tree())) == chain.tree()


def test_mutations_are_uniform_over_places_and_over_the_category():
    rng = np.random.default_rng(0)
    children = [mutated(BP, rng, anything) for _ in range(6000)]
    changed = Counter(
        (category, place)
        for child in children
        for category in CATEGORIES
        for place, word in enumerate(getattr(child, category))
        if word != getattr(BP, category)[place]
    )
    assert len(changed) == 5
    assert stats.chisquare(list(changed.values())).pvalue > 0.001
    for category in CATEGORIES:
        first = getattr(BP, category)[0]
        words = Counter(getattr(c, category)[0] for c in children)
        del words[first]
        assert words.keys() == CATEGORIES[category].keys() - {first}
        assert stats.chisquare(list(words.values())).pvalue > 0.001
