"""Augmentations by name: functions of the images and of one random generator per image."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.config.errors import UserError
from resemblance.data.elastic import elastic

Augment = Callable[[Tensor, Sequence[np.random.Generator]], Tensor]


def flip(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Mirror each image (B, C, H, W) with probability one half."""
    mirrored = torch.tensor([rng.random() < 0.5 for rng in rngs])
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def crop(images: Tensor, rngs: Sequence[np.random.Generator], margin: int = 2) -> Tensor:
    """Shift each image by up to ``margin`` pixels, with zeros at the border: a random crop after padding."""
    height, width = images.shape[-2:]
    padded = F.pad(images, (margin,) * 4)
    offsets = [rng.integers(0, 2 * margin + 1, 2) for rng in rngs]
    return torch.stack([padded[i, :, y : y + height, x : x + width] for i, (y, x) in enumerate(offsets)])


def protopnet(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Apply a rotation by up to 15°, a perspective skew of up to 0.2, or a shear of up to 10°; then flip.

    ProtoPNet's authors prepare 10 copies of each kind in advance; here they are made on the fly. Pixels from outside
    the image have the value of the nearest border pixel.
    """
    return flip(_warped(images, [_random_homography(rng) for rng in rngs], "border"), rngs)


def pipnet(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Apply a shear by up to 0.5, a shift by up to 1/16 or a rotation by up to 60°, or none; a crop; then flip.

    These are TrivialAugment's geometric operations within the limits of PIP-Net's authors, one per image, about its
    centre (the authors shear about its corner), and a random crop of 95 to 100 % of its area. Pixels from outside are
    zero.
    """
    return flip(_warped(images, [_random_shape(rng) @ _random_crop(rng) for rng in rngs], "zeros"), rngs)


def _warped(images: Tensor, matrices: Sequence[Tensor], padding: str) -> Tensor:
    """Sample images at the places to which homographies (3, 3) map each pixel, in units of half the longer side."""
    height, width = images.shape[-2:]
    square = torch.diag(torch.tensor([width / max(height, width), height / max(height, width), 1.0]))
    homographies = torch.stack([square.inverse() @ matrix @ square for matrix in matrices])
    y, x = torch.meshgrid(
        (2 * torch.arange(height) + 1) / height - 1, (2 * torch.arange(width) + 1) / width - 1, indexing="ij"
    )
    places = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ homographies[:, None].transpose(-1, -2)
    grid = places[..., :2] / places[..., 2:].clamp_min(1e-3)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _random_shape(rng: np.random.Generator) -> Tensor:
    matrix, kind, amount = torch.eye(3), rng.integers(6), float(rng.uniform(-1, 1))
    if kind in (1, 2):
        matrix[kind - 1, 2 - kind] = 0.5 * amount
    elif kind in (3, 4):
        matrix[kind - 3, 2] = 2 / 16 * amount  # the side is 2
    elif kind == 5:
        angle = np.deg2rad(60 * amount)
        matrix[:2, :2] = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return matrix


def _random_crop(rng: np.random.Generator) -> Tensor:
    area, ratio = rng.uniform(0.95, 1), rng.uniform(-1, 1)
    sides = [area ** ((1 + ratio) / 2), area ** ((1 - ratio) / 2)]
    matrix = torch.diag(torch.tensor([*sides, 1.0]))
    for axis, side in enumerate(sides):
        matrix[axis, 2] = rng.uniform(-1, 1) * (1 - side)
    return matrix


def _random_homography(rng: np.random.Generator) -> Tensor:
    matrix = torch.eye(3)
    kind = rng.integers(3)
    if kind == 0:
        angle = np.deg2rad(rng.uniform(-15, 15))
        matrix[:2, :2] = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    elif kind == 1:
        matrix[2, :2] = torch.from_numpy(rng.uniform(-0.2, 0.2, 2))
    else:
        matrix[tuple(rng.permutation(2))] = float(np.tan(np.deg2rad(rng.uniform(-10, 10))))
    return matrix


def flip_and_crop(images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Apply `flip`, then `crop`."""
    return crop(flip(images, rngs), rngs)


AUGMENTATIONS: dict[str, Augment | None] = {
    "none": None,
    "flip": flip,
    "crop": crop,
    "flip+crop": flip_and_crop,
    "elastic": elastic,
    "protopnet": protopnet,
    "pipnet": pipnet,
}


def get_augment(name: str) -> Augment | None:
    """Return the augmentation of that name; None for ``none``.

    Raises:
        UserError: if there is no augmentation of that name.

    Example:
        >>> get_augment("flip")(torch.rand(2, 3, 8, 8), [np.random.default_rng(i) for i in range(2)]).shape
        torch.Size([2, 3, 8, 8])
    """
    if name not in AUGMENTATIONS:
        near = difflib.get_close_matches(name, AUGMENTATIONS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(AUGMENTATIONS)}"
        raise UserError(f"no augmentation {name!r}; {hint}")
    return AUGMENTATIONS[name]
