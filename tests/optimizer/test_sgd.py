from types import SimpleNamespace

import numpy as np
import torch

from fabench.optimizer.sgd import Sgd


def test_two_steps_by_hand():
    h = SimpleNamespace(lr=0.1)
    sgd = Sgd(name="sgd", **vars(h))
    W = torch.tensor([1.0, -2.0], dtype=torch.float64)
    for t, g in enumerate([[3.0, -1.0], [1.0, 4.0]], start=1):
        sgd.update_(
            W, torch.tensor(g, dtype=torch.float64), sgd.initial_state(W), sgd.at_step(t, h)
        )
    np.testing.assert_allclose(W, [1 - 0.3 - 0.1, -2 + 0.1 - 0.4], rtol=1e-14)
