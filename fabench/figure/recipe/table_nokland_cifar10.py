"""Test error in % of BP, FA and DFA on the dense CIFAR-10 networks of the DFA paper.

As ``table_nokland``, whose columns, settings and differences it has. The paper's errors are quoted
at second hand.
"""

from fabench.figure.recipe.table_nokland import tabulate

__all__ = ["EXPERIMENTS", "ON_REQUEST", "tabulate"]

EXPERIMENTS = ("table_nokland_cifar10", "table_nokland_cifar10_zeros")
ON_REQUEST = True  # CIFAR-10
