"""The nonlinear teacher follows its definition."""

import numpy as np

from fabench.run import registry


def test_targets_are_a_tanh_networks_outputs():
    settings = {"name": "nonlinear_teacher", "n_train": 100, "n_test": 50}
    dataset = registry.build("dataset", settings)
    x, y = dataset.draw(3, "train", 2)
    T1, T2, T3 = dataset.weights(3)
    assert (T1.shape, T2.shape, T3.shape) == ((30, 20), (20, 10), (10, 10))
    assert all(0.8 < abs(T).max() < 1 for T in (T1, T2, T3))
    assert len(np.unique(np.concatenate([T.ravel() for T in (T1, T2, T3)]))) == 900
    np.testing.assert_allclose(y, np.tanh(np.tanh(x @ T1) @ T2) @ T3, rtol=1e-4, atol=1e-5)
    assert (dataset.n_inputs, dataset.n_targets) == (30, 10)
    assert y.dtype == np.float32
