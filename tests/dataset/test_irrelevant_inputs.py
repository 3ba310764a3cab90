"""A linear problem among irrelevant inputs follows its definition."""

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from fabench.randomness import generator
from fabench.run import registry
from fabench.schema import UserError


def problem(**settings):
    base = {"n_relevant": 5, "n_irrelevant": 4, "low": 0.0, "n_train": 3000, "n_test": 2000}
    return registry.build("dataset", {"name": "irrelevant_inputs"} | base | settings)


@pytest.mark.parametrize("stream", ["train", "test", "validation"])
def test_labels_and_difficulties_are_those_of_the_relevant_and_of_the_irrelevant_inputs(stream):
    dataset = problem(low=-1.0)
    x, labels = dataset.draw(2, stream, 1)
    assert x.shape == ((3000 if stream == "train" else 2000), 9) and x.dtype == np.float32
    w = generator(2, "irrelevant inputs weights").standard_normal(5)
    margin, irrelevant = (dataset.difficulty(by, 2, x) for by in dataset.difficulties[::-1])
    for n, row in enumerate(x.astype(float)):
        a = sum(weight * value for weight, value in zip(w, row[:5], strict=True))
        assert labels[n] == (a > 0) and margin[n] == pytest.approx(-abs(a))
        assert irrelevant[n] == sum(value != 0 for value in row[5:])
    assert 0.4 < labels.mean() < 0.6


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_inputs_are_uniform_and_as_many_are_0_as_not(low):
    x, _ = problem(low=low).draw(0, "train", 1)
    counts = np.bincount(np.count_nonzero(x[:, 5:], axis=1), minlength=5)
    assert chisquare(counts).pvalue > 1e-3
    uniform = ("uniform", (low, 1 - low))
    for values in (x[:, 0], x[:, 4], x[:, 5][x[:, 5] != 0], x[:, 8][x[:, 8] != 0]):
        assert kstest(values, *uniform).pvalue > 1e-3
    assert abs((x[:, 5:] != 0).mean(0) - 0.5).max() < 4.5 * 0.5 / 3000**0.5
    assert abs(np.corrcoef(x[:, :5].T) - np.eye(5)).max() < 4.5 / 3000**0.5


def test_every_seed_and_stream_has_its_own_items_in_all_epochs():
    dataset = problem(n_test=3000)
    kinds = [(0, "train"), (1, "train"), (0, "test"), (0, "validation")]
    drawn = {kind: dataset.draw(*kind, 1)[0] for kind in kinds}
    assert len({x.tobytes() for x in drawn.values()}) == 4
    assert drawn[0, "train"].tobytes() == dataset.draw(0, "train", 2)[0].tobytes()


@pytest.mark.parametrize("value", [-1.1, 1.0, "0", True, None], ids=str)
def test_values_out_of_range_are_refused(value):
    with pytest.raises(UserError, match=r"^dataset\.low="):
        problem(low=value)
