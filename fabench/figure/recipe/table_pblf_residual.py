"""PBLF and backpropagation on a residual network, as found by two searches; table_6_2's columns.

Eyono 2020, chapter 6 (see ``fabench.figure.pblf``), on photographs and with residual networks, as
there: its sites are the network's start and its three stages. Its claims: backpropagation is best
by a slight margin, and a Gaussian process finds no better numbers than random search.

Differences from the paper, beside those of ``fabench.figure.pblf``: WRN-10-1 instead of WRN-16-2,
CIFAR-10 averaged to 16 x 16 pixels, neither cropped nor mirrored, 10,000 images in batches of 250
(2,000 for the test), 10 epochs, no weight decay; backpropagation's rate, of seven, by two seeds on
validation data; PBLF's searches are at that rate, with one seed.
"""

from fabench.figure import pblf
from fabench.figure.recipe.table_6_2 import tabulate

__all__ = ["EXPERIMENTS", "ON_REQUEST", "tabulate"]

EXPERIMENTS = pblf.experiments("table_pblf_residual")
ON_REQUEST = True  # CIFAR-10, and its numbers come from a search
