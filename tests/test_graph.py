"""Replaying a captured step. On a CPU the stand-in for a CUDA graph calls the captured function.

Like a graph, the stand-in works on the capture's own buffers and sees Python numbers as they were.
"""

import pytest
import torch

import fabench.population as module
from fabench import registry
from fabench.graph import WARM_UP, Replayed
from fabench.population import Population, Row

CPU = torch.device("cpu")


def numbers(*shapes):
    return [torch.arange(1.0, 1 + torch.Size(s).numel()).view(s) for s in shapes]


def test_the_fourth_call_is_captured_and_other_shapes_are_not_replayed():
    log = []

    def step(x, y):
        log.append("step")
        return x.sum(), y.sum()

    def capture(function):
        log.append("capture")
        return lambda: (log.append("replay"), function())[1]

    replayed = Replayed(step, capture)
    for call in range(1, 8):
        x, y = numbers((2, 3), (2, 1)) if call != 6 else numbers((1, 3), (1, 1))
        got = replayed(call * x, call * y)
        assert got == (call * x.sum(), call * y.sum())
        expected = ["step"] if call <= WARM_UP or call == 6 else ["replay", "step"]
        assert log == (["capture"] if call == WARM_UP + 1 else []) + expected
        log.clear()


@pytest.mark.parametrize("optimizer", [*registry.names("optimizer"), "dozat"])
def test_a_captured_population_trains_as_any_other(make_config, monkeypatch, optimizer):
    """Three networks, batches of 8 and a short one; the step's number reaches the optimizer."""
    settings = {"optimizer": "nadam", "optimizer__momentum_schedule": "dozat"}
    settings = settings if optimizer == "dozat" else {"optimizer": optimizer}
    config = make_config(**settings, learning_rule="dfa", k=1, optimizer__lr=0.01)
    rows = [Row(seed, config.scalars()) for seed in range(3)]
    plain = Population(config, rows, CPU)
    monkeypatch.setattr(module, "computes_together", lambda *_: True)
    captured = Population(config, rows, CPU)

    def capture(function):
        frozen = captured.steps

        def replay():
            steps, captured.steps = captured.steps, frozen
            results = function()
            captured.steps = steps
            return results

        return replay

    captured._take = Replayed(captured._step_all, capture)
    rng = torch.Generator().manual_seed(0)
    for size in (8, 8, 8, 8, 3, 8, 8):
        x = torch.randn(3, size, 64, generator=rng)
        y = torch.randint(0, 2, (3, size, 1), generator=rng).float()
        for ours, theirs in zip(captured.step(x, y), plain.step(x, y), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    for name, w in captured.trained().items():
        torch.testing.assert_close(w, plain.trained()[name], rtol=1e-4, atol=1e-5)
