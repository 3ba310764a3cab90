"""Random crops and mirroring of training images, on the device that holds them.

    x'[c, i, j] = x[c, i + v, j + u] where the image has such a pixel, else black     (1)
    x"[c, i, j] = x'[c, i, W - 1 - j] of half of the images                           (2)
    u, v ~ U{-p, ..., p}                                                              (3)

x: an image [C, H, W]; p: the margin of black pixels (value 0 before inputs are scaled) out of which
(1) is a crop. An image's *view* stands for its v, u and whether it is mirrored, in one number: a
function of seed, epoch and the example's place in the epoch.

Reference: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR
2016, arXiv:1512.03385, section 4.2.

Differences from the paper: black pixels lie around the image before its scaling; theirs, after it,
are of the mean.

Axes: N examples, k images an example, n images, C channels, H rows, W columns, P = C H W.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fabench.dataset.base.items import Augmentation
from fabench.randomness import generator


def draw_views(
    augmentation: Augmentation, seed: int, epoch: int, shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """The views [N, k] = ``shape`` of an epoch's images."""
    crops = (2 * augmentation.crop + 1) ** 2
    views = 2 * generator(seed, "crop", epoch).integers(crops, size=shape)  # (3)
    if augmentation.flip:
        views += generator(seed, "flip", epoch).integers(2, size=shape)
    return views


def augmented(items: Tensor, views: Tensor, augmentation: Augmentation, black: Tensor) -> Tensor:
    """The images [n, P] of items [n, P] in their views [n]; black: values [P] of a black one."""
    (C, H, W), p, n = augmentation.shape, augmentation.crop, len(items)
    crop, mirrored = views // 2, views % 2 == 1
    padded = black.view(C, H, W)[:, :1, :1].expand(n, C, H + 2 * p, W + 2 * p).clone()
    padded[:, :, p : p + H, p : p + W] = items.view(n, C, H, W)
    crops = padded.unfold(2, H, 1).unfold(3, W, 1)  # every one, as a view [n, C, v, u, H, W]
    top, left = crop // (2 * p + 1), crop % (2 * p + 1)  # v + p and u + p
    x = crops[torch.arange(n, device=items.device), :, top, left]  # (1)
    return torch.where(mirrored.view(n, 1, 1, 1), x.flip(3), x).view_as(items)  # (2)
