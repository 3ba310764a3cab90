"""Backprop Evolution's normalised gradients on a residual network, each formula at its own rate.

table_backprop_evolution, whose columns it has, on photographs: WRN-10-1, the network on which
M. Alber et al., "Backprop evolution", 2018, arXiv:1808.02822, table 2 (B1), searched at length.
There, after 100 epochs of SGD, backpropagation has 87.13 ± 0.25 % and the search's best formula
87.94 ± 0.22; of WRN-16-2 after 20 epochs 77.11 ± 3.53, and g / fro(g) 84.15 ± 0.66.

Differences from the paper:
1. CIFAR-10 averaged to 16 x 16 pixels, neither cropped nor mirrored, 10,000 images in batches of
   250 (2,000 for the test), 10 epochs (400 steps; theirs about 39,000), no weight decay, a cosine
   without warm-up.
2. Three seeds; rates, of five, by two others on validation data.
"""

from fabench.figure.recipe.table_backprop_evolution import data, tabulate

__all__ = ["DIVERGENCE", "EXPERIMENTS", "ON_REQUEST", "data", "tabulate"]

EXPERIMENTS = ("table_backprop_evolution_residual", "table_backprop_evolution_residual_rates")
ON_REQUEST = True  # CIFAR-10
DIVERGENCE = True  # the largest rate may be too large for some
