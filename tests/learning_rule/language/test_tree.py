"""Formulas read, simplified and written. Oracles: Python's own evaluation, values in NumPy."""

import numpy as np
import pytest

from fabench.learning_rule.language.tree import (
    DEEPEST,
    LONGEST,
    Number,
    Term,
    canonical,
    distinct,
    parse,
    simplified,
    text,
    word_counts,
)

g, h = Term("g"), Term("h")


def test_text_is_read_as_python_reads_it():
    assert parse("g / fro(g)") == Term("/", (g, Term("fro", (g,))))
    assert parse("g - h * g - 1") == Term("-", (Term("-", (g, Term("*", (h, g)))), Number(1.0)))
    assert parse(" -g @ t(h)") == Term("@", (Term("-", (g,)), Term("t", (h,))))
    assert parse("+clip(-2e-1 + g, .5)") == Term(
        "clip", (Term("+", (Number(-0.2), g)), Number(0.5))
    )


VALUES = {"g": 1.7, "h": -0.3, "D": 0.6}


def drawn(rng, depth):
    """A random formula of what Python evaluates as the language means it."""
    kind = rng.integers(5) if depth else 0
    if kind == 0:
        return Term(str(rng.choice(list(VALUES))))
    if kind == 1:
        return Number(float(rng.choice([-3.0, 0.25, 1e-7, 2e20, 5.0])))
    if kind == 2:
        return Term("-", (drawn(rng, depth - 1),))
    name = str(rng.choice(["min", "max"] if kind == 3 else ["+", "-", "*", "/"]))
    return Term(name, (drawn(rng, depth - 1), drawn(rng, depth - 1)))


def value(node):
    if isinstance(node, Number):
        return node.value
    found = [value(argument) for argument in node.arguments]
    if not found:
        return VALUES[node.name]
    if len(found) == 1:
        return -found[0]
    x, y = found
    return {"+": x + y, "-": x - y, "*": x * y, "min": min(x, y), "max": max(x, y),
            "/": x / y if y else np.nan}[node.name]  # fmt: skip


def test_text_has_the_brackets_that_it_needs():
    rng = np.random.default_rng(0)
    for _ in range(300):
        node = drawn(rng, 4)
        written = text(node)
        with np.errstate(all="ignore"):
            try:
                expected = eval(written, {"min": min, "max": max}, VALUES)
            except ZeroDivisionError:
                continue
        np.testing.assert_equal(value(node), expected)
        assert parse(text(parse(written))) == parse(written)


def test_text_that_is_not_python_alone():
    for written in ("g @ (t(h) @ g)", "g @ t(h) @ g", "-(g + h)", "-g * h", "bn(h_next_pre)",
                    "drop(g, 0.3)", "g * -2", "norm_neg_inf(g)", "1e+30 * g", "-1"):  # fmt: skip
        assert text(parse(written)) == written


SIMPLER = {
    "g*1": "g", "1 * g": "g", "g / 1": "g", "g + 0": "g", "0 + g": "g", "g - 0": "g",
    "-(-g)": "g", "--g": "g", "-1 * g": "-g", "g / -1": "-g", "0 - g": "-g", "t(t(g))": "g",
    "g + -h": "g - h", "g - -h": "g + h", "g + -0.5": "g - 0.5", "g - (-2)": "g + 2",
    "abs(abs(g))": "abs(g)", "abs(-g)": "abs(g)", "sign(sign(g))": "sign(g)",
    "relu(relu(g))": "relu(g)", "step(step(g))": "step(g)", "square(-g)": "square(g)",
    "(1 * g) / fro(g + 0)": "g / fro(g)", "-(-(-(g * 1)))": "-g", "0 + 0": "0",
    "-(0 - g)": "g", "+g": "g", "2 * g": "2 * g", "g * g": "g * g", "relu(-g)": "relu(-g)",
    "0 * g": "0 * g", "1 / g": "1 / g", "g - h - h": "g - h - h",
}  # fmt: skip


@pytest.mark.parametrize("formula", SIMPLER)
def test_simplified(formula):
    assert canonical(formula) == SIMPLER[formula]
    assert canonical(SIMPLER[formula]) == SIMPLER[formula]


def test_simplifying_changes_no_value_and_is_done_at_once():
    rng = np.random.default_rng(1)
    for _ in range(300):
        node = drawn(rng, 4)
        simple = simplified(node)
        assert simplified(simple) == simple
        with np.errstate(all="ignore"):
            np.testing.assert_equal(value(simple), value(node))


def test_distinct_terms_come_after_what_they_are_made_of():
    assert list(map(text, distinct(parse("g / fro(g) + 2 * fro(g)")))) == [
        "g", "fro(g)", "g / fro(g)", "2 * fro(g)", "g / fro(g) + 2 * fro(g)",
    ]  # fmt: skip


WORDS = "of operands, functions, numbers and"
HOSTILE = {
    "": "such as g / fro(g)",
    "g +": "such as g / fro(g)",
    "g; h": "such as g / fro(g)",
    "g = h": "such as g / fro(g)",
    "g\nh": "such as g / fro(g)",
    "\x00": "such as g / fro(g)",
    "(" * 300: "such as g / fro(g)",
    "g" + " + g" * 10**6: f"at most {LONGEST} characters",
    "9" * 5000: f"at most {LONGEST} characters",
    "g / 1e-40": "at least 1.2e-38",
    "clip(g, 1e-46)": "at least 1.2e-38",
    "-" * 900 + "g": f"at most {DEEPEST} terms",
    "abs(" * 60 + "g" + ")" * 60: f"at most {DEEPEST} terms",
    "g" + "+g" * 60: f"at most {DEEPEST} terms",
    "\uff47": "ASCII",
    "g / ‖g‖": "ASCII",
    "g.T": WORDS,
    "g.__class__": WORDS,
    "(1).real": WORDS,
    "g.T(h)": WORDS,
    "lambda: g": WORDS,
    "(lambda: g)()": WORDS,
    "[g for g in h]": WORDS,
    "{g}": WORDS,
    "'g'": WORDS,
    "f'{g}'": WORDS,
    "b'g'": WORDS,
    "...": WORDS,
    "True": WORDS,
    "None": WORDS,
    "1j": WORDS,
    "g[0]": WORDS,
    "(g, h)": WORDS,
    "(g := h)": WORDS,
    "g if h else D": WORDS,
    "g > h": WORDS,
    "g and h": WORDS,
    "not g": WORDS,
    "~g": WORDS,
    "g ** 2": WORDS,
    "10**10**10": WORDS,
    "g // h": WORDS,
    "g % h": WORDS,
    "await g": WORDS,
    "abs(*g)": WORDS,
    "abs(x=g)": WORDS,
    "abs(g)(h)": WORDS,
    "1e999": "numbers of at most",
    "9" * 900: "numbers of at most",
    "1e31": "numbers of at most",
    "x": "no operand x",
    "grad": "no operand grad",
    "abs": "no operand abs",
    "open(g)": "no function open",
    "eval(g)": "no function eval",
    "__import__(g)": "no function __import__",
    "g(h)": "no function g",
    "abs()": "give abs 1 arguments, not 0",
    "abs(g, h)": "give abs 1 arguments, not 2",
    "min(g)": "give min 2 arguments, not 1",
    "clip(g)": "give clip 2 arguments, not 1",
    "clip(g, h)": "give clip a number from 0",
    "clip(g, 1 + 1)": "give clip a number from 0",
    "clip(g, -1)": "give clip a number from 0",
    "drop(g, 1)": "give drop a number from 0 to 0.999",
    "add_noise(g, g)": "give add_noise a number from 0",
}


@pytest.mark.parametrize("formula", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_what_is_no_formula_gets_one_sentence(formula):
    with pytest.raises(ValueError, match="^(should|has) ") as error:
        parse(formula)
    sentence = str(error.value)
    assert HOSTILE[formula] in sentence
    assert len(sentence) < 400
    assert "\n" not in sentence


def test_a_formula_is_short_enough_with_the_spaces_that_it_is_kept_with():
    dense = "+".join(["g*(h+D)*(q-g)*(h-1)"] * 35)
    assert parse(dense) and len(dense) < LONGEST
    with pytest.raises(ValueError, match=f"at most {LONGEST} characters with all spaces"):
        canonical(dense)


def test_words_are_counted():
    """D, fro, g, and / and +, in the order of their characters: + / D fro g."""
    counts = word_counts(map(parse, ["g / fro(g) + 0.5", "D + g + g"]))
    np.testing.assert_array_equal(counts, [[1, 1, 0, 1, 2], [2, 0, 1, 0, 2]])
