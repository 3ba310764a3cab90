import numpy as np
import torch
from by_hand import A1, A2, SEQUENTIAL, W1, W2, HandPart, sent, stacked

from fabench.learning_rule.weight_mirror import WeightMirror
from fabench.model.layer.convolution import Averaging, Convolution
from fabench.model.layer.network import Layer

W3, B2, B3, E = SEQUENTIAL

XI = {
    "mirror 1": np.array([[1.0, 2.0, -1.0], [0.0, -1.0, 1.0]]),
    "mirror 2": np.array([[2.0, -1.0], [1.0, 3.0]]),
}


def test_follows_the_equations():
    W, B = stacked(W1, W2, W3), stacked(B2, B3)
    rule = WeightMirror(name="weight_mirror", feedback_rate=0.5, feedback_decay=0.1)
    deltas, part = sent(
        rule, W, B, E, noise=lambda stream, shape: torch.tensor(XI[stream].reshape(shape))[None]
    )
    delta2 = (E @ B3) * (A2 > 0)  # (2)
    delta1 = (delta2 @ B2) * (A1 > 0)
    for delta, expected in zip(deltas, (delta1, delta2, E), strict=True):
        np.testing.assert_allclose(delta[0], expected, rtol=1e-12)

    (dB2, rate2), (dB3, rate3) = (part.descended[name] for name in ("B0", "B1"))
    assert rate2 == rate3 == 0.5
    y2 = [[0, 4.5], [3.5, 0]]  # (3): relu of [[-5.5, 4.5], [3.5, -1.5]]
    y3 = [[4.5], [0.5]]  # linear
    mean2 = [[0, -1.75, 1.75], [2.25, 4.5, -2.25]]
    mean3 = [[4.75, -1.5]]
    np.testing.assert_array_equal(mean2, np.transpose(y2) @ XI["mirror 1"] / 2)
    np.testing.assert_array_equal(mean3, np.transpose(y3) @ XI["mirror 2"] / 2)
    np.testing.assert_allclose(dB2[0], 0.1 * B2 - np.array(mean2))  # (4)
    np.testing.assert_allclose(dB3[0], 0.1 * B3 - np.array(mean3))


def test_feedback_mirrors_fixed_weights():
    """8-7-6-3 units, 300 batches of 32: tanh halves the mirror image of W_2 at most."""
    rng = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(2, *shape, generator=rng, dtype=torch.float64)

    W = [normal(i, o) / i**0.5 for i, o in ((8, 7), (7, 6), (6, 3))]
    layers = tuple(Layer(w.shape[1], w.shape[2], "tanh") for w in W)
    rule = WeightMirror(name="weight_mirror", feedback_rate=1.0, feedback_decay=1.0)
    B = [normal(6, 7), normal(3, 6)]
    part = HandPart(layers, lambda stream, shape: normal(*shape), W=W, B=B)
    for _ in range(300):
        rule.adapt(part, None, normal(32, 3), {})
        for number, b in enumerate(B):
            b -= 0.02 * part.descended[f"B{number}"][0]
    for b, w in rule.alignment_pairs(W, B):
        assert (torch.cosine_similarity(b.flatten(1), w.flatten(1)) > 0.95).all()
    size = [b.norm() / w.norm() for b, w in rule.alignment_pairs(W, B)]
    assert 0.3 < size[0] < 0.9
    assert 0.9 < size[1] < 1.1


def test_feedback_mirrors_what_many_places_share():
    """2 x 6 x 6 pixels, 3 x 3 kernels, 4 x 4 places, then their mean: B comes to W^T as it does in
    a dense layer, however many places there are."""
    rng = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(1, *shape, generator=rng, dtype=torch.float64)

    convolution = Convolution(18, 3, "linear", images=(2, 6, 6), kernel=3)
    layers = (Layer(5, 72, "linear"), convolution, Averaging(3, 4, places=16))
    W, B = [normal(5, 72), normal(18, 3), normal(3, 4)], [normal(3, 18), normal(4, 3)]
    part = HandPart(layers, lambda stream, shape: normal(*shape), W=W, B=B)
    rule = WeightMirror(name="weight_mirror", feedback_rate=1.0, feedback_decay=0.0)
    rule.adapt(part, None, normal(20_000, 4), {})
    for number, w in enumerate(W[1:]):
        mean, _ = part.descended[f"B{number}"]
        assert (mean + w.mT).norm() < 0.1 * w.norm()
