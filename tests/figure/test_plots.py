"""A run's plots. Oracles: what their artists hold, against SciPy's Student-t interval."""

import io
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fabench.figure import style
from fabench.figure.curves import degrees
from fabench.figure.run_plots import accuracy, alignment, write_plots
from fabench.run import registry


def make_metrics(seeds=3, epochs=4, layers=0):
    rng = np.random.default_rng(0)
    index = [(seed, epoch) for epoch in range(epochs + 1) for seed in range(seeds)]
    metrics = pd.DataFrame(index, columns=["seed", "epoch"])
    names = ["train_accuracy", "test_accuracy", "weight_alignment", "gradient_alignment"]
    names += [f"weight_alignment_{layer}" for layer in range(1, layers + 1)]
    for name in names:
        metrics[name] = rng.uniform(0.2, 0.8, len(metrics))
    return metrics.assign(diverged=0)


def line(figure, label):
    """x and y of the curve with this label."""
    (axes,) = figure.axes
    (found,) = (line for line in axes.lines if line.get_label() == label)
    return found.get_xdata(), found.get_ydata()


def bands(figure):
    """{epoch: (low, high)} of every shaded band, in the order they were drawn."""
    found = []
    for collection in figure.axes[0].collections:
        corners: dict[float, list[float]] = {}
        for path in collection.get_paths():
            for x, y in path.vertices:
                corners.setdefault(float(x), []).append(float(y))
        found.append({x: (min(ys), max(ys)) for x, ys in corners.items()})
    return found


def expected(metrics, column):
    """Mean and 95 % interval of every epoch."""
    result = {}
    for epoch, values in metrics.groupby("epoch")[column]:
        x = values.dropna().to_numpy()
        interval = stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x))
        result[epoch] = x.mean(), interval
    return result


def assert_curve(figure, index, label, metrics, column):
    want = expected(metrics, column)
    epochs, means = line(figure, label)
    assert list(epochs) == list(want)
    np.testing.assert_allclose(means, [mean for mean, _ in want.values()])
    band = bands(figure)[index]
    assert list(band) == list(want)
    for epoch, (_, interval) in want.items():
        assert band[epoch] == pytest.approx(interval)


def draw(figure):
    """Render it, as saving does."""
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("rule, dataset", [
    ("simplified_difference_target_propagation", "fashion_mnist"), ("dfa", "mnist")
])  # fmt: skip
def test_a_title_fits_the_figure(make_config, rule, dataset):
    config = make_config(learning_rule=rule, dataset=dataset, task="classification",
                         optimizer="adadelta", model__hidden=[5, 5])  # fmt: skip
    figure = accuracy(make_metrics(), config)
    draw(figure)
    box, page = figure.axes[0].title.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 and box.x1 <= page.x1


def test_a_title_tells_of_diverged_seeds(make_config):
    metrics = make_metrics().assign(diverged=0)
    metrics.loc[(metrics.seed > 0) & (metrics.epoch == 4), "diverged"] = 1
    title = accuracy(metrics, make_config()).axes[0].get_title()
    assert title.endswith("95 % interval, 3 seeds, 2 of them diverged")


def test_accuracy_is_a_mean_and_a_student_band(make_config):
    metrics = make_metrics()
    figure = accuracy(metrics, make_config())
    assert_curve(figure, 0, "test", metrics, "test_accuracy")
    assert_curve(figure, 1, "train", metrics, "train_accuracy")
    draw(figure)


def test_accuracy_is_labelled(make_config):
    figure = accuracy(make_metrics(), make_config(k=5, optimizer="adam", optimizer__lr=0.25))
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "accuracy")
    for word in ("dfa", "adam", "lr=0.25", "digits", "k=5", "95 % interval", "3 seeds"):
        assert word in axes.get_title()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["test", "train"]
    assert axes.get_xlim() == (0, 4)


def test_chance_is_a_dashed_line(make_config):
    config = make_config()
    (axes,) = accuracy(make_metrics(), config).axes
    (chance,) = (line for line in axes.lines if set(line.get_ydata()) == {config.task.chance})
    assert config.task.chance == 0.5
    assert chance.get_linestyle() == "--"
    assert "chance" in [text.get_text() for text in axes.texts]


def test_alignment_is_a_mean_and_a_student_band(make_config):
    metrics = make_metrics()
    figure = alignment(metrics, make_config())
    assert_curve(figure, 0, "weights", metrics, "weight_alignment")
    assert_curve(figure, 1, "teaching signals", metrics, "gradient_alignment")
    assert "cosine" in figure.axes[0].get_ylabel()
    draw(figure)


def test_alignment_has_angles_beside_cosines(make_config):
    axes = alignment(make_metrics(), make_config()).axes[0]
    [right] = axes.child_axes
    angles = [float(t.get_text().rstrip("°")) for t in right.get_yticklabels()]
    np.testing.assert_allclose(np.cos(np.radians(angles)), right.get_yticks(), atol=1e-12)
    low, high = axes.get_ylim()
    assert len(angles) > 2 and (low <= right.get_yticks()).all() and max(right.get_yticks()) <= high


def test_of_more_than_the_angles_there_are_none():
    assert degrees(-1.2, 1.2) == [pytest.approx(p) for p in (
        (0, 1), (60, 0.5), (120, -0.5), (180, -1))]  # fmt: skip


@pytest.mark.parametrize("layers", [2, 7])
def test_alignment_has_a_curve_for_every_layer(make_config, layers):
    metrics = make_metrics(layers=layers)
    figure = alignment(metrics, make_config(model__hidden=[5] * layers))
    assert_curve(figure, 1, "weights, layer 1", metrics, "weight_alignment_1")
    assert_curve(figure, 2, "weights, layer 2", metrics, "weight_alignment_2")
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == len(figure.axes[0].lines)


def test_alignment_of_many_layers_is_one_curve(make_config):
    metrics = make_metrics(layers=9)
    figure = alignment(metrics, make_config(model__hidden=[5] * 9))
    assert_curve(figure, 0, "weights", metrics, "weight_alignment")
    assert_curve(figure, 1, "teaching signals", metrics, "gradient_alignment")


def test_one_seed_has_curves_without_a_band(make_config):
    metrics = make_metrics(seeds=1)
    figure = accuracy(metrics, make_config(seed=[7]))
    _, means = line(figure, "test")
    np.testing.assert_array_equal(means, metrics.test_accuracy)
    for band in bands(figure):
        assert not np.isfinite(list(band.values())).any()
    assert "interval" not in figure.axes[0].get_title()
    assert "seed 0" in figure.axes[0].get_title()
    draw(figure)


def test_diverged_seeds_are_left_out(make_config):
    metrics = make_metrics()
    gone = (metrics.seed == 1) & (metrics.epoch >= 2)
    metrics.loc[gone, ["test_accuracy", "train_accuracy"]] = np.nan
    figure = accuracy(metrics, make_config())
    assert_curve(figure, 0, "test", metrics, "test_accuracy")
    draw(figure)


def test_a_run_of_which_every_seed_diverged_is_drawn_up_to_there(make_config):
    metrics = make_metrics()
    metrics.loc[metrics.epoch >= 2, ["test_accuracy", "train_accuracy"]] = np.nan
    figure = accuracy(metrics, make_config())
    assert list(line(figure, "test")[0]) == [0, 1]
    draw(figure)


def test_a_run_without_any_finite_value_is_drawn(make_config):
    metrics = make_metrics().assign(test_accuracy=np.nan, train_accuracy=np.nan)
    figure = accuracy(metrics, make_config())
    assert len(line(figure, "test")[0]) == 0
    draw(figure)


@pytest.mark.parametrize(("rule", "plots"), [("bp", 1), ("dfa", 2), ("formula", 2)])
def test_plots_are_written_and_no_figure_stays_open(make_config, tmp_path, rule, plots):
    metrics = make_metrics()
    if rule != "dfa":
        metrics = metrics.drop(columns="weight_alignment")
    before = plt.get_fignums()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = write_plots(tmp_path, metrics, make_config(learning_rule=rule))
    assert sorted(path.name for path in paths) == sorted(
        path.name for path in (tmp_path / "plots").iterdir()
    )
    assert len(paths) == plots
    for path in paths:
        height, width, channels = plt.imread(path).shape
        assert (width, channels) == (round(style.WIDTH * style.DPI), 4) and height > 100
    assert plt.get_fignums() == before


def test_no_figure_is_wider_than_a_page():
    for columns, width in ((1, 3.5), (2, 7), (3, 7)):
        with style.canvas(2, columns, height=2) as (figure, panels):
            assert panels.shape == (2, columns)
            assert figure.get_size_inches().tolist() == [width, 4]


def test_every_rule_has_a_colour_of_its_own():
    rules = registry.names("learning_rule")
    colors = [style.COLORS[rule] for rule in rules]
    assert len(set(colors)) == len(rules)
