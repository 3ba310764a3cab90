"""NAdamW: Nadam with weight decay beside the gradient instead of in it.

    W <- (1 - lr w) W                                                (1)
    then Nadam's step: (1) to (8) of nadam.py                        (2)

lr: learning rate; w: ``decoupled_weight_decay``. ``trainer.weight_decay`` is the other kind, which
is a part of the gradient.

References: T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR 2016 workshop; I.
Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, arXiv:1711.05101,
Algorithm 2.

Differences from the papers: w is multiplied by lr, as in torch, and those of nadam.py.
Differences from torch.optim.NAdam(decoupled_weight_decay=True): none with
``momentum_schedule=dozat``; the default is nadam.py's. All that learns decays, biases too.
"""

from types import SimpleNamespace

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import State
from fabench.optimizer.nadam import Nadam
from fabench.schema import STRICT, NonNegative


@dataclass(frozen=True, config=STRICT)
class Nadamw(Nadam):
    decoupled_weight_decay: NonNegative

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        W *= 1 - h.lr * h.decoupled_weight_decay  # (1)
        super().update_(W, g, state, h)  # (2)
