"""The copies of training images that the authors of ProtoPNet and TesNet make in advance, here made on the fly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.data.augmentation.flip_crop import flip
from resemblance.data.augmentation.warp import rotation, warped

TILES, REACH = 10, 5 / 224  # of the grid per side, and how far its corners move as a share of the side


def protopnet(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Apply a rotation by up to 15°, a perspective skew of up to 0.2, or a shear of up to 10°; then flip.

    ProtoPNet's authors prepare 10 copies of each kind in advance, so that one of their epochs sees each image 30 times.
    Pixels from outside the image have the value of the nearest border pixel.
    """
    return flip(warped(images, [_random_homography(rng) for rng in rngs], "border"), rngs)


def tesnet(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Apply `protopnet`'s rotation, skew or shear, or a distortion by a grid, each a quarter of the time; then flip.

    TesNet's authors prepare 10 copies of each of the four kinds in advance, so that one of their epochs sees each image
    40 times. The distortion moves the inner corners of a grid of 10×10 tiles by up to 5 pixels of an image of 224.

    Args:
        images: (B, C, H, W).
        rngs: one generator per image.

    Example:
        >>> tesnet(torch.rand(1, 3, 28, 28), [np.random.default_rng(0)]).shape
        torch.Size([1, 3, 28, 28])
    """
    distorted = [bool(rng.integers(4) == 3) for rng in rngs]
    still = torch.eye(3)
    matrices = [
        still if other else _random_homography(rng) for rng, other in zip(rngs, distorted, strict=True)
    ]
    copies = warped(images, matrices, "border")
    rows = [row for row, other in enumerate(distorted) if other]
    if rows:
        copies[rows] = _distorted(images[rows], [rngs[row] for row in rows])
    return flip(copies, rngs)


def _distorted(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Sample images at places that a grid with moved corners gives, bilinearly between its corners."""
    corners = torch.zeros(len(images), 2, TILES + 1, TILES + 1)
    inner = np.stack([rng.uniform(-1, 1, (2, TILES - 1, TILES - 1)) for rng in rngs])
    corners[:, :, 1:-1, 1:-1] = torch.from_numpy(2 * REACH * inner)  # the side is 2
    straight = F.affine_grid(
        torch.eye(2, 3).expand(len(images), -1, -1), list(images.shape), align_corners=False
    )
    moved = F.grid_sample(corners, straight, align_corners=True).permute(0, 2, 3, 1)
    return F.grid_sample(images, straight + moved, padding_mode="border", align_corners=False)


def _random_homography(rng: np.random.Generator) -> Tensor:
    matrix = torch.eye(3)
    kind = rng.integers(3)
    if kind == 0:
        return rotation(rng.uniform(-15, 15))
    elif kind == 1:
        matrix[2, :2] = torch.from_numpy(rng.uniform(-0.2, 0.2, 2))
    else:
        matrix[tuple(rng.permutation(2))] = float(np.tan(np.deg2rad(rng.uniform(-10, 10))))
    return matrix
