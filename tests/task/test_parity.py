from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch.nn.functional import binary_cross_entropy_with_logits

from fabench.run.registry import build
from fabench.task.parity import Parity

CONF = Path(__file__).parents[2] / "conf" / "task" / "parity.yaml"


def parity(k):
    return Parity(name="parity", k=k)


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_the_target_is_one_if_the_sum_is_odd(k):
    labels = np.random.default_rng(0).integers(0, 10, (2, 100, k), dtype=np.uint8)
    y = parity(k).targets(torch.from_numpy(labels))
    assert y.shape == (2, 100, 1)
    assert y.dtype == torch.float32
    expected = [[sum(map(int, digits)) % 2 for digits in stream] for stream in labels]
    np.testing.assert_array_equal(y[..., 0], expected)
    assert {0.0, 1.0} == set(y.flatten().tolist())


def test_known_sums():
    labels = torch.tensor([[9, 9, 9], [9, 9, 8], [0, 0, 0], [1, 0, 0]], dtype=torch.uint8)
    assert parity(3).targets(labels).tolist() == [[1], [0], [0], [1]]


@pytest.mark.parametrize("k", [1, 3])
def test_every_column_is_a_permutation_of_its_own(k):
    table = parity(k).table(np.random.default_rng(0), 50)
    assert table.shape == (50, k)
    np.testing.assert_array_equal(np.sort(table, 0), np.tile(np.arange(50)[:, None], k))
    for place in range(k):
        assert (table[:, place] != np.arange(50)).any()
        for other in range(place):
            # two permutations meet in one place on average (Poisson): not in 50
            assert (table[:, place] == table[:, other]).sum() < 10


def test_permutations_are_uniform():
    """Each of the 6 orders of 3 images comes up n/6 times, within 5 standard errors."""
    rng, n = np.random.default_rng(0), 6000
    orders = [tuple(column) for _ in range(n // 2) for column in parity(2).table(rng, 3).T]
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    assert (np.abs(counts - n / 6) < 5 * np.sqrt(n * 5 / 36)).all()


def test_loss_and_error_are_cross_entropys():
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(2, 9, 1, generator=rng).requires_grad_()
    y = (torch.randn(2, 9, 1, generator=rng) > 0).float()
    objective = parity(3).objective
    loss, e = objective.value(a.detach(), y), objective.error(a.detach(), y)
    expected = binary_cross_entropy_with_logits(a, y, reduction="none")
    expected.sum().backward()
    torch.testing.assert_close(loss, expected.detach().squeeze(-1))
    torch.testing.assert_close(e, a.grad)


def test_correct_is_the_logits_sign():
    output = torch.tensor([[2.0], [-2.0], [0.3], [-0.3]])[None]
    y = torch.tensor([[1.0], [1.0], [0.0], [0.0]])[None]
    correct = parity(3).correct(output, y)
    assert correct.dtype == torch.bool
    assert correct.tolist() == [[True, False, False, True]]


def test_what_it_says_of_itself():
    task = parity(5)
    assert (task.items_per_example, task.n_outputs, task.chance) == (5, 1, 0.5)


def test_its_yaml_composes_and_k_comes_from_the_run(make_config):
    assert OmegaConf.to_container(OmegaConf.load(CONF)) == {"name": "parity"}
    assert build("task", {"name": "parity", "k": 4}) == parity(4)
    assert make_config(k=4).task == parity(4)
