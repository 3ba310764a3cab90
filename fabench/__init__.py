"""fabench: a bench for learning rules that do without backpropagation."""

__version__ = "0.1.0"
