"""fabench: a bench for learning rules that do without backpropagation."""

import importlib

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """``fabench.load(run, seed)``: see fabench.run.weights, which is above this door, and heavy."""
    if name == "load":
        return getattr(importlib.import_module("fabench.run.weights"), name)
    raise AttributeError(f"module 'fabench' has no attribute {name!r}")
