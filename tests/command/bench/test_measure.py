"""Seconds, bytes and bounds.

Oracles: functions of known duration, tensors of known size, made-up products.
"""

import time

import torch

from fabench.command.bench import measure
from fabench.command.bench.bench import problem

CPU = torch.device("cpu")


def test_alternating_takes_turns_and_the_median():
    calls, naps = [], iter([0, 0, 0, 0, 0, 0, 0.2, 0, 0, 0, 0, 0])  # one long nap among the turns

    def function(name):
        def run(n):
            calls.append(name)
            time.sleep(next(naps, 0) + 0.001 * n)

        return run

    seconds = measure.alternate([function("a"), function("b")], 0.01, 5, CPU)
    assert calls == ["a"] * 3 + ["b"] * 3 + ["a", "b"] * 5
    assert all(0.001 <= s < 0.01 for s in seconds)


def test_the_bound_counts_products_and_bytes(make_raw, monkeypatch):
    raw = make_raw(learning_rule="bp", optimizer="sgd", k=2, model__hidden=[6])
    p = problem(raw, 3, "fp32")
    products = {(16, 128, 6): 7.0, (16, 6, 1): 0.75}
    monkeypatch.setattr(measure, "product_seconds", lambda *args: products[args[:3]])
    monkeypatch.setattr(measure, "bandwidth", lambda device: 1e12)
    assert measure.bound_of_step(p) == 7.75
    monkeypatch.setattr(measure, "bandwidth", lambda device: 1.0)
    weights, inputs = 128 * 6 + 6, 16 * (128 + 6)
    assert measure.bound_of_step(p) == 4 * 3 * (weights + inputs)


def test_the_fastest_kernel_bounds():
    seconds = measure.product_seconds(32, 256, 64, "fp32", CPU, 3)
    assert 0 < seconds < 1
    assert seconds == measure.product_seconds(32, 256, 64, "fp32", CPU, 1)  # one by one on a CPU
    assert 1e8 < measure.bandwidth(CPU) < 1e13


def test_what_a_processor_has_no_instructions_for_is_left_out(monkeypatch):
    def refuse(*_):
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(measure, "onednn", refuse)
    assert measure.product_seconds(16, 31, 7, "bf16", CPU, 1) > 0


def test_peak_memory_is_what_was_added_even_if_it_was_freed():
    warm = torch.ones(2**20)
    del warm
    before = measure.reset_peak()
    held = torch.ones(2**23)  # 32 MiB
    gone = torch.ones(2**24)
    del gone
    added = measure.peak_bytes() - before
    assert 3 * 2**25 * 0.95 < added < 3 * 2**25 * 1.3
    again = measure.reset_peak()
    assert abs(again - before - held.nbytes) < 2**23
    assert measure.peak_bytes() - again < 2**23
