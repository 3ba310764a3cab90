"""A formula's graph. Oracles: the formula, what the artists hold."""

from pathlib import Path

import pytest

from fabench.command import cli
from fabench.figure.formula_graph import SYMBOLS, formula_graph, layout
from fabench.learning_rule.language.tree import parse, text
from fabench.learning_rule.language.words import OPERANDS

WINNER = "clip(0.01 + h_pre - relu(h_pre), 0.01) * g / norm_inf(g)"
FORMULAS = ["g", "g / fro(g)", WINNER, "b_next @ t(W) * D - running_mean(q) / 2", "g * (2 + 3)"]


def drawn(figure):
    """Labels in boxes, and how many arrows."""
    [axes] = figure.axes
    labels = [t.get_text() for t in axes.texts if t.get_bbox_patch() is not None]
    return labels, sum(getattr(t, "arrow_patch", None) is not None for t in axes.texts)


def test_every_operand_has_a_symbol():
    assert SYMBOLS.keys() == set(OPERANDS)


def test_a_term_is_one_box_with_an_arrow_from_each_that_it_is_made_of():
    labels, arrows = drawn(formula_graph("g / fro(g)"))
    assert labels == ["$g$", "fro", "/", "$b_i^p$"]
    assert arrows == 4  # g twice, fro, the result
    labels, arrows = drawn(formula_graph(WINNER))
    assert sorted(labels) == sorted([
        "$h_i^p$", "0.01 +", "relu", "-", "clip 0.01", "$g$", r"$\odot$", "norm\ninf", "/",
        "$b_i^p$",
    ])  # fmt: skip
    assert arrows == 11
    assert drawn(formula_graph("0.5 - h_next_pre"))[0] == ["$h_{i+1}^p$", "0.5 -", "$b_i^p$"]
    assert drawn(formula_graph("g - 0.5"))[0][1] == "- 0.5"


def test_the_title_of_a_long_formula_fits_the_page():
    figure = formula_graph("g" + " / (1 + g" * 16 + ")" * 16)
    figure.draw_without_rendering()
    box, page = figure.axes[0].title.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 and box.x1 <= page.x1


@pytest.mark.parametrize("formula", FORMULAS)
def test_terms_stand_to_the_right_of_what_they_are_made_of_and_apart(formula):
    places = layout(parse(formula))
    for node, (x, _) in places.items():
        assert all(places[a][0] < x for a in node.arguments if a in places), text(node)
    points = list(places.values())
    for n, (x, y) in enumerate(points):
        assert all(x != other or abs(y - height) >= 1 for other, height in points[:n])


def test_a_run_draws_its_formula_where_it_is_missing(workdir, capsys):
    """The formula comes as a shell hands it on; a bad one ends in a sentence."""
    run = ["run", "learning_rule=formula", "dataset=digits", "model.hidden=[4]", "seed=0",
           "trainer.epochs=1", "trainer.train_examples=32", "trainer.device=cpu"]  # fmt: skip
    assert cli.main([*run, "learning_rule.formula=min(g / fro(g),h)"]) == 0
    [path] = Path().rglob("formula.png")
    assert path.parent.parent.name.startswith("formula_sgd_digits")
    path.unlink()
    assert cli.main([*run, "learning_rule.formula='min(1 * g / fro(g), h)'"]) == 0
    assert path.exists()
    capsys.readouterr()
    assert cli.main([*run, "learning_rule.formula=min(g / fro(g)"]) == 2
    assert capsys.readouterr().err == (
        "fabench: learning_rule.formula=min(g / fro(g): it should be a formula, such as "
        "g / fro(g).\n"
    )
    sweep = [*run, "-m", "learning_rule.formula='g','fro(g)'", "dry_run=true"]
    assert cli.main(sweep) == 1
    assert "(fro(g) is [1, 1], not [batch, 4], in layer 1)" in capsys.readouterr().err
