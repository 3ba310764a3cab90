"""fig_batch_normalisation, fig_gradient_noise. Oracle: hand-made runs."""

from itertools import product

import pandas as pd

from fabench.figure.recipe import fig_batch_normalisation, fig_gradient_noise


def test_a_line_for_each_network_and_rate_the_larger_one_dashed():
    frame = pd.DataFrame(
        {
            "learning_rule": rule, "batch_norm": normalised, "lr": lr, "seed": seed,
            "epoch": epoch, "test_accuracy": 1 - lr * (2 - normalised) * 0.01 / (1 + epoch) - seed,
        }
        for rule, normalised, lr, seed, epoch in product(
            ("bp", "dfa"), (False, True), (1.0, 10.0), (0, 0.02), range(3)
        )
    )  # fmt: skip
    bp, dfa = fig_batch_normalisation.draw(frame).axes
    assert (bp.get_title(), dfa.get_title()) == ("BP", "DFA")
    means = {line.get_label(): line for line in bp.lines if line.get_label()[0] != "_"}
    assert list(means) == [
        "plain, rate 1: 1.7 %", "plain, rate 10: 7.7 %",
        "normalised, rate 1: 1.3 %", "normalised, rate 10: 4.3 %",
    ]  # fmt: skip
    assert [line.get_linestyle() for line in means.values()] == ["-", "--"] * 2
    assert len(bp.lines) == 4 * (2 + 1)  # each seed, and the mean


def test_gradient_noise_has_a_line_for_each_eta_against_the_rate():
    frame = pd.DataFrame(
        {
            "weight_init": init, "gradient_noise": eta, "lr": lr, "seed": seed, "epoch": epoch,
            "test_accuracy": (eta + lr + seed) * epoch / 10, "folder": f"{init}{eta}{lr}",
        }
        for init, eta, lr, seed, epoch in product(
            fig_gradient_noise.INITS, fig_gradient_noise.COLORS, (0.01, 0.1), (0, 0.1), (0, 1, 2)
        )
    )  # fmt: skip
    frame.loc[
        (frame.weight_init == "he_normal") & (frame.lr + frame.seed > 0.15), "test_accuracy"
    ] = None
    poor, good = fig_gradient_noise.draw(fig_gradient_noise.data(frame)).axes
    assert (poor.get_title(), good.get_title()) == ("poor first weights", "good first weights")
    assert [text.get_text() for text in good.texts if "of" in text.get_text()] == [
        "1 of 2\ndiverge"
    ] * 3
    lines = {line.get_label(): line for line in poor.lines if line.get_label()[0] != "_"}
    assert list(lines) == ["none", "eta 0.01", "eta 0.3"]
    assert lines["eta 0.3"].get_xdata().tolist() == [0.01, 0.1]
    assert abs(lines["eta 0.3"].get_ydata() - [0.072, 0.09]).max() < 1e-12
