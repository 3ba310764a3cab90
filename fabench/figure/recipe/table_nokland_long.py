"""Test error in % of BP, FA and DFA on three networks of the DFA paper after its 300 epochs.

As ``table_nokland``, whose columns, settings and differences, but the epochs, it has.
"""

from fabench.figure.recipe.table_nokland import tabulate

__all__ = ["EXPERIMENTS", "ON_REQUEST", "tabulate"]

EXPERIMENTS = ("table_nokland_long", "table_nokland_long_zeros", "table_nokland_long_relu")
ON_REQUEST = True  # 8,100 network epochs
