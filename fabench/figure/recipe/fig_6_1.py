"""PBLF and backpropagation for few epochs: accuracy against epoch.

Eyono 2020, figure 6.1 (see ``fabench.figure.pblf``), where backpropagation reaches 92.86 %
after 20 epochs, PBLF-BO 92.77 %, PBLF-RS 92.59 %.
"""

from fabench.figure import pblf

EXPERIMENTS = pblf.experiments("fig_6_1")
ON_REQUEST = True  # its numbers come from a search

draw = pblf.accuracies
