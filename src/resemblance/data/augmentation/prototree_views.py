"""The changes of ProtoTree's training images: of shape and colour, for birds and for cars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from resemblance.data.augmentation.flip_crop import flip
from resemblance.data.augmentation.warp import rotation, warped

FACTOR = 0.4  # by which brightness, contrast and saturation change at most


@dataclass(frozen=True)
class Strength:
    """How much images change.

    Args:
        distortion: of the perspective, as a share of half the side, with probability one half.
        hue: largest change, as a share of the colour circle.
        degrees: largest rotation.
        shift: largest shift, as a share of the side.
        enlarged: the side to which images are scaled before a random part of the usual side is cut out, as a multiple.
    """

    distortion: float
    hue: float
    degrees: float
    shift: float
    enlarged: float = 1.0


BIRDS = Strength(0.2, 0.02, 10, 0.05)
CARS = Strength(0.5, 0.4, 15, 0, 256 / 224)
SHEAR = 2.0  # degrees


def prototree(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Change perspective, colours, angle and place as ProtoTree's authors do for birds; then flip.

    The perspective changes with probability one half; brightness, contrast and saturation by up to 40 %, the hue by up
    to 2 % of the circle; rotation by up to 10°, shear by up to 2°, shift by up to 5 %. Changes of shape are made at
    once, in random order, and pixels from outside the image are black. `data.benchmarks.box_crops.CornerCrops` are the
    crops that the authors store beforehand.

    Args:
        images: (B, C, H, W) in [0, 1].
        rngs: one generator per image.

    Example:
        >>> prototree(torch.rand(1, 3, 28, 28), [np.random.default_rng(0)]).shape
        torch.Size([1, 3, 28, 28])
    """
    return _changed(images, rngs, BIRDS)


def prototree_cars(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Change images as ProtoTree's authors do for cars: more than `prototree`, without shifts, but with a random crop.

    Perspective up to 0.5, hue by up to 40 % of the circle, rotation by up to 15°; the crop has 224 of 256 pixels.
    """
    return _changed(images, rngs, CARS)


def _changed(images: Tensor, rngs: Sequence[np.random.Generator], strength: Strength) -> Tensor:
    shapes = warped(images, [_random_shape(rng, strength) for rng in rngs], "zeros")
    return flip(torch.stack([_recoloured(*pair, strength) for pair in zip(shapes, rngs, strict=True)]), rngs)


def _random_shape(rng: np.random.Generator, strength: Strength) -> Tensor:
    perspective = _random_perspective(rng, strength.distortion) if rng.random() < 0.5 else torch.eye(3)
    shear, shift, still = torch.eye(3), torch.eye(3), torch.eye(3)
    shear[0, 1] = float(np.tan(np.deg2rad(rng.uniform(-SHEAR, SHEAR))))
    shift[:2, 2] = torch.from_numpy(2 * strength.shift * rng.uniform(-1, 1, 2))  # the side is 2
    affine = rotation(rng.uniform(-strength.degrees, strength.degrees)) @ shear @ shift
    shape = perspective @ affine if rng.random() < 0.5 else affine @ perspective
    if strength.enlarged > 1:
        still[0, 0] = still[1, 1] = 1 / strength.enlarged
        still[:2, 2] = torch.from_numpy((1 - 1 / strength.enlarged) * rng.uniform(-1, 1, 2))
    return shape @ still


def _random_perspective(rng: np.random.Generator, distortion: float) -> Tensor:
    """Return the homography that takes the corners of the image from where they move to, up to a share inwards."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)
    moved = corners * (1 - distortion * rng.random((4, 2)))
    rows = []
    for (x, y), (u, v) in zip(moved, corners, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    solution = np.linalg.solve(np.array(rows), corners.reshape(-1))
    return torch.from_numpy(np.append(solution, 1).reshape(3, 3)).float()


def _recoloured(image: Tensor, rng: np.random.Generator, strength: Strength) -> Tensor:
    """Change brightness, contrast, saturation and hue of an image (C, H, W) in random order."""
    # Imported here, since it takes longer than all that reads data.
    from torchvision.transforms.v2 import functional as vision

    factors, hue = rng.uniform(1 - FACTOR, 1 + FACTOR, 3), float(rng.uniform(-strength.hue, strength.hue))
    for kind in rng.permutation(4):
        if kind == 0:
            image = vision.adjust_brightness(image, factors[0])
        elif kind == 1:
            image = vision.adjust_contrast(image, factors[1])
        elif len(image) == 3:
            image = (
                vision.adjust_saturation(image, factors[2]) if kind == 2 else vision.adjust_hue(image, hue)
            )
    return image
