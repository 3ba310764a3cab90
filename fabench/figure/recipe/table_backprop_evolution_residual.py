"""Backprop Evolution's normalised gradients on a residual network, each formula at its own rate.

table_backprop_evolution, whose columns it has, on photographs: WRN-10-1, the network on which
M. Alber et al., "Backprop evolution", 2018, arXiv:1808.02822, table 2 (B1), searched at length.
There, after 100 epochs of SGD: backpropagation 87.13 ± 0.25 % and g / matrix1(g) + q / norm2(q),
the best of the search, 87.94 ± 0.22.

Differences from the paper:
1. scale=cpu: CIFAR-10 averaged to 16 x 16 pixels, neither cropped nor mirrored; batches of 250,
   3 epochs (600 steps; theirs about 39,000), no weight decay, a cosine without warm-up.
2. Three seeds; rates, of four, by two others on validation data.
"""

from fabench.figure.recipe.table_backprop_evolution import data, tabulate

__all__ = ["DIVERGENCE", "EXPERIMENTS", "ON_REQUEST", "data", "tabulate"]

EXPERIMENTS = ("table_backprop_evolution_residual", "table_backprop_evolution_residual_rates")
ON_REQUEST = True  # CIFAR-10
DIVERGENCE = True  # the largest rate may be too large for some
