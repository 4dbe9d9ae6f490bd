"""The changes of shape of PIP-Net's images, which are the same in both views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from resemblance.data.augmentation.flip_crop import flip
from resemblance.data.augmentation.warp import rotation, warped


def pipnet(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Apply a shear by up to 0.5, a shift by up to 1/16 or a rotation by up to 60°, or none; a crop; then flip.

    These are TrivialAugment's geometric operations within the limits of PIP-Net's authors, one per image, about its
    centre (the authors shear about its corner), and a random crop of 95 to 100 % of its area. Pixels from outside are
    zero.
    """
    return flip(warped(images, [_random_shape(rng) @ _random_crop(rng) for rng in rngs], "zeros"), rngs)


def _random_shape(rng: np.random.Generator) -> Tensor:
    matrix, kind, amount = torch.eye(3), rng.integers(6), float(rng.uniform(-1, 1))
    if kind in (1, 2):
        matrix[kind - 1, 2 - kind] = 0.5 * amount
    elif kind in (3, 4):
        matrix[kind - 3, 2] = 2 / 16 * amount  # the side is 2
    elif kind == 5:
        return rotation(60 * amount)
    return matrix


def _random_crop(rng: np.random.Generator) -> Tensor:
    area, ratio = rng.uniform(0.95, 1), rng.uniform(-1, 1)
    sides = [area ** ((1 + ratio) / 2), area ** ((1 - ratio) / 2)]
    matrix = torch.diag(torch.tensor([*sides, 1.0]))
    for axis, side in enumerate(sides):
        matrix[axis, 2] = rng.uniform(-1, 1) * (1 - side)
    return matrix
