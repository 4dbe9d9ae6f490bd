"""Pixels in the order of their relevance, and images with some of them replaced.

Random numbers are a function of seed, image and pixel: no result depends on the batch or on the device.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Order = Literal["magnitude", "signed"]
Ties = Literal["random", "stable"]
Keep = Literal["most important", "least important"]
Baseline = Literal["zero", "noise"]

MASK = (1 << 63) - 1


def pixel_noise(seed: int, indices: Tensor, count: int) -> Tensor:
    """Return numbers in [0, 1) that depend on seed, image and position only (SplitMix64).

    Args:
        seed: any integer.
        indices: (B,) int64, the indices of the images in the data.
        count: numbers per image.

    Returns:
        (B, count) float32.

    Example:
        >>> noise = pixel_noise(0, torch.tensor([3, 8]), 5)
        >>> torch.equal(noise[1:], pixel_noise(0, torch.tensor([8]), 5)), bool((noise < 1).all())
        (True, True)
    """
    positions = torch.arange(count, device=indices.device)
    stream = _scrambled(indices.long() + _scrambled(torch.tensor(seed, device=indices.device)))
    bits = _scrambled(stream[:, None] + positions)
    return (bits & ((1 << 24) - 1)).float() / (1 << 24)


def _scrambled(numbers: Tensor) -> Tensor:
    """Mix the bits of 64-bit integers: one step of SplitMix64 (Steele et al. 2014); products wrap around."""
    numbers = (numbers + 1) * -7046029254386353131
    numbers = (numbers ^ _shifted(numbers, 30)) * -4658895280553007687
    numbers = (numbers ^ _shifted(numbers, 27)) * -7723592293110705685
    return numbers ^ _shifted(numbers, 31)


def _shifted(numbers: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros, which ``>>`` does not do with negative numbers."""
    return (numbers >> bits) & (MASK >> (bits - 1))


def zero_maps(maps: Tensor) -> Tensor:
    """Return which maps (..., H, W) are zero everywhere.

    Example:
        >>> zero_maps(torch.stack([torch.zeros(2, 2), torch.eye(2)]))
        tensor([ True, False])
    """
    return (maps == 0).flatten(-2).all(dim=-1)


def pixel_order(
    maps: Tensor, indices: Tensor, *, by: Order = "magnitude", ties: Ties = "random", seed: int = 0
) -> Tensor:
    """Return the pixels of each map from the least to the most important one.

    Args:
        maps: (B, ..., H, W), relevance maps. NaN counts as the least important.
        indices: (B,) int64, the indices of the images in the data, on which random ties depend.
        by: ``"magnitude"``, |R|, as average drop and increase are defined; or ``"signed"``, R.
        ties: order pixels of equal relevance at ``"random"`` by the seed, or ``"stable"``, by their index.
        seed: seed of the ties.

    Returns:
        (B, ..., HW) int64, flat indices of the pixels.

    Example:
        >>> pixel_order(torch.tensor([[[0.5, -3.0], [2.0, 0.0]]]), torch.tensor([0]))
        tensor([[3, 0, 2, 1]])
    """
    relevance = maps.flatten(-2)
    relevance = (relevance.abs() if by == "magnitude" else relevance).nan_to_num(
        nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf
    )
    if ties == "stable":
        return relevance.argsort(dim=-1, stable=True)
    shuffled = pixel_noise(seed, indices.to(maps.device), relevance.shape[-1]).argsort(dim=-1, stable=True)
    shuffled = shuffled.reshape(len(maps), *[1] * (relevance.dim() - 2), -1).expand_as(relevance)
    return shuffled.gather(-1, relevance.gather(-1, shuffled).argsort(dim=-1, stable=True))


def random_order(indices: Tensor, pixels: int, *, seed: int = 0) -> Tensor:
    """Return the pixels of each image in random order, (B, HW): that of a map that is zero everywhere.

    Example:
        >>> random_order(torch.tensor([0, 1]), 4).sort(dim=1).values.tolist()
        [[0, 1, 2, 3], [0, 1, 2, 3]]
    """
    return pixel_noise(seed, indices, pixels).argsort(dim=-1, stable=True)


def kept_pixels(
    order: Tensor, size: tuple[int, int], *, share: float = 0.5, keep: Keep = "most important"
) -> Tensor:
    """Return the mask of the pixels that are kept; floor(share · HW) are replaced.

    Args:
        order: (B, ..., HW), from the least to the most important pixel, see `pixel_order`.
        size: H, W.
        share: the share of pixels that are replaced.
        keep: replace the least important pixels, or, as the authors' code does, the most important ones.

    Returns:
        (B, ..., H, W) bool.

    Example:
        >>> order = pixel_order(torch.tensor([[[0.5, -3.0], [2.0, 0.0]]]), torch.tensor([0]))
        >>> kept_pixels(order, (2, 2)).int().tolist()
        [[[0, 1], [1, 0]]]
    """
    replaced = int(share * order.shape[-1])
    ranks = ranks_of(order)
    kept = ranks >= replaced if keep == "most important" else ranks < order.shape[-1] - replaced
    return kept.reshape(*order.shape[:-1], *size)


def ranks_of(order: Tensor) -> Tensor:
    """Return the rank of each pixel, 0 for the least important one: the inverse permutations, (..., HW).

    Example:
        >>> ranks_of(torch.tensor([3, 0, 2, 1]))
        tensor([1, 3, 2, 0])
    """
    places = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)


def baseline_images(images: Tensor, indices: Tensor, kind: Baseline = "zero", *, seed: int = 0) -> Tensor:
    """Return the images whose pixels replace others: black, or uniform noise in [0, 1] for each pixel and channel.

    Both are in the range of the data, before a model normalises: ``"zero"`` is black, not the mean of the data. The
    authors' code uses one fixed noise image for all images: pass indices of 0.

    Args:
        images: (B, C, H, W) in [0, 1].
        indices: (B,) int64, the indices of the images in the data, on which the noise depends.
        kind: ``"zero"`` for grey and ``"noise"`` for colour images is the paper's choice.
        seed: seed of the noise.

    Example:
        >>> images = torch.rand(2, 3, 4, 4)
        >>> baseline_images(images, torch.tensor([0, 1])).abs().max().item()
        0.0
    """
    if kind == "zero":
        return torch.zeros_like(images)
    # A stream of its own: the noise must not be that which orders ties.
    noise = pixel_noise(seed + 0x5EED, indices.to(images.device), images[0].numel())
    return noise.to(images.dtype).reshape(images.shape)


def kept_images(images: Tensor, kept: Tensor, baseline: Tensor) -> Tensor:
    """Return images with the pixels that are not kept replaced, in all channels together.

    Args:
        images: (B, C, H, W).
        kept: (B, K, H, W) bool, K masks per image.
        baseline: (B, C, H, W), see `baseline_images`.

    Returns:
        (B, K, C, H, W).

    Example:
        >>> kept_images(torch.ones(1, 3, 2, 2), torch.eye(2).bool()[None, None], torch.zeros(1, 3, 2, 2))[0, 0, 2]
        tensor([[1., 0.],
                [0., 1.]])
    """
    return torch.where(kept[:, :, None], images[:, None], baseline[:, None])
