"""The deletion check of a map: remove the pixels that it marks, and ask the model again.

A map that shows what the model reads must name pixels without which the similarity falls, and fall further than without
random places of the same size and shape: the same pixels, shifted over the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.encoders.probe import evaluating
from resemblance.relevance.deletion_check import DeletionCheck
from resemblance.relevance.gradients import generator_of, mean_colour

Fill = Literal["mean", "black", "noise"]
Answer = Callable[[Tensor], Tensor]  # images (N, C, H, W) → (N, R)

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
DRAWS = 5
FILLS: dict[Fill, str] = {"mean": "the image's mean colour", "black": "black", "noise": "noise"}


def check_prototype_maps(
    model: PrototypeModel, images: Tensor, which: Tensor, maps: Tensor, **options: Any
) -> list[list[DeletionCheck]]:
    """Check maps of prototypes by deletion, see `deletion_checks`.

    Args:
        model: a model with prototypes.
        images: (B, C, H, W) in [0, 1].
        which: (B, K) int64, the prototypes.
        maps: (B, K, H, W), as `prototype_maps` returns them.
        **options: those of `deletion_checks`.

    Returns:
        B lists of K checks.
    """
    options = {"subject": model.traits.words.similarity, **options}
    with evaluating(model), torch.no_grad():
        return deletion_checks(
            lambda x: model(x).similarities, images.to(model.device), which, maps, **options
        )


def check_class_maps(
    model: Classifier, images: Tensor, classes: Tensor, maps: Tensor, **options: Any
) -> list[DeletionCheck]:
    """Check maps of classes by deletion, see `deletion_checks`.

    Args:
        model: any model.
        images: (B, C, H, W) in [0, 1].
        classes: (B,) int64.
        maps: (B, H, W), as `class_maps` returns them.
        **options: those of `deletion_checks`.

    Returns:
        B checks.
    """
    options = {"subject": "score", **options}
    with evaluating(model), torch.no_grad():
        checks = deletion_checks(
            lambda x: model(x).scores, images.to(model.device), classes[:, None], maps[:, None], **options
        )
    return [row[0] for row in checks]


def deletion_checks(
    answer: Answer,
    images: Tensor,
    which: Tensor,
    maps: Tensor,
    *,
    shares: Sequence[float] = SHARES,
    draws: int = DRAWS,
    fill: Fill = "mean",
    seed: int = 0,
    subject: str = "similarity",
    batch_size: int = 64,
) -> list[list[DeletionCheck]]:
    """Remove the pixels that maps mark, and pixels at random places, and ask for the values again.

    The pixels with the largest (signed) relevance are removed first, all colour channels together; pixels of equal
    relevance in an order that the seed draws. Random places are the same pixels, shifted cyclically by an offset that
    the seed draws, the same for all images. One check costs ``len(shares) × (1 + draws)`` forward passes of one image,
    and one more per image; by default 30.

    Args:
        answer: the function, (N, C, H, W) → (N, R).
        images: (B, C, H, W) in [0, 1].
        which: (B, K) int64, the columns of the answer that the maps belong to.
        maps: (B, K, H, W).
        shares: the shares of pixels to remove, in (0, 1).
        draws: the number of random places.
        fill: what stands in for removed pixels: ``mean``, the image's mean colour, which is seldom an extreme and adds
            no edges to a uniform region; ``black``; or ``noise``, uniform in [0, 1].
        seed: the seed of offsets, order and noise.
        subject: the name of the value in sentences.
        batch_size: images per forward pass.

    Returns:
        B lists of K checks.

    Raises:
        UserError: for shares outside of (0, 1), fewer than 2 draws, or maps that do not fit the images.

    Example:
        >>> image = torch.zeros(1, 1, 4, 4)
        >>> image[0, 0, 1, 1] = 1.0
        >>> [[check]] = deletion_checks(lambda x: x.amax(dim=(2, 3)), image, torch.tensor([[0]]), image, shares=[0.1])
        >>> check.marked, check.better
        ((1.0, 0.0625), True)
    """
    shares = sorted(shares)
    if not shares or not 0 < shares[0] <= shares[-1] < 1:
        raise UserError(f"the shares of pixels to remove must lie between 0 and 1, not {shares}")
    if draws < 2:
        raise UserError(f"a deletion check needs at least 2 random places, not {draws}")
    if fill not in FILLS:
        raise UserError(f"removed pixels are filled with {', '.join(FILLS)}, not {fill!r}")
    if maps.shape != (*which.shape, *images.shape[2:]) or len(which) != len(images):
        raise UserError(
            f"{tuple(maps.shape)} maps of {tuple(which.shape)} targets do not fit images of {tuple(images.shape)}"
        )
    here, (count, width) = images.device, which.shape
    places, filled = _Places(maps.to(here), shares, draws, seed), _filling(images, fill, seed)
    rows, columns = torch.arange(count, device=here).repeat_interleave(width), which.flatten().to(here)
    whole, left = [], []
    for start in range(0, count, batch_size):
        part = slice(start, start + batch_size)
        whole.append(answer(images[part]).gather(1, which[part].to(here)))
    total = count * width * (1 + draws) * len(shares)
    for start in range(0, total, batch_size):
        pairs, removed = places.removed(torch.arange(start, min(start + batch_size, total), device=here))
        row = rows[pairs]
        pixels = torch.where(removed[:, None], filled[row], images[row])
        left.append(answer(pixels).gather(1, columns[pairs, None]))
    if not total:
        return [[] for _ in images]
    values = torch.cat(left).double().cpu().reshape(count * width, 1 + draws, len(shares))
    before = torch.cat(whole).double().cpu().reshape(-1, 1)
    marked, random = values[:, 0], values[:, 1:]
    means, spread = random.mean(dim=1), random.std(dim=1)
    margin = random.mean(dim=2).std(dim=1)
    better = marked.mean(dim=1) < means.mean(dim=1) - margin
    empty = (maps == 0).flatten(2).all(dim=2).flatten()
    curves = (torch.cat([before, part], dim=1).tolist() for part in (marked, means))
    spreads = torch.cat([torch.zeros_like(before), spread], dim=1).tolist()
    checks = [
        DeletionCheck((0.0, *shares), tuple(m), tuple(r), tuple(s), b, e, subject)
        for m, r, s, b, e in zip(*curves, spreads, better.tolist(), empty.tolist(), strict=True)
    ]
    return [checks[row * width : (row + 1) * width] for row in range(count)]


class _Places:
    """The pixels that are removed: for each map the marked ones, then the same at random offsets, for each share."""

    def __init__(self, maps: Tensor, shares: Sequence[float], draws: int, seed: int) -> None:
        height, width = maps.shape[-2:]
        pixels = height * width
        flat = maps.reshape(-1, pixels)
        # Sorted by relevance after a random permutation: equal pixels are then in random order.
        shuffled = torch.randperm(pixels, generator=generator_of(seed, 0)).to(flat.device)
        order = shuffled[flat[:, shuffled].argsort(dim=1, descending=True, stable=True)]
        ranks = torch.empty_like(order).scatter_(
            1, order, torch.arange(pixels, device=flat.device).expand_as(order)
        )
        self.ranks = ranks.reshape(-1, height, width)
        self.numbers = torch.tensor([max(1, round(share * pixels)) for share in shares], device=flat.device)
        # Any offset but that of the marked pixels themselves.
        offsets = torch.randint(1, max(pixels, 2), (draws,), generator=generator_of(seed, 1)).to(flat.device)
        offsets = torch.cat([offsets.new_zeros(1), offsets])
        self.down, self.right = offsets // width, offsets % width

    def removed(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps (n,) that belong to the places ``index`` (n,), and their pixels (n, H, W) bool."""
        shares, draws = len(self.numbers), len(self.down)
        pairs, draw, share = index // (draws * shares), index // shares % draws, index % shares
        height, width = self.ranks.shape[1:]
        rows = (torch.arange(height, device=index.device) - self.down[draw, None]) % height
        columns = (torch.arange(width, device=index.device) - self.right[draw, None]) % width
        ranks = self.ranks[pairs[:, None, None], rows[:, :, None], columns[:, None, :]]
        return pairs, ranks < self.numbers[share, None, None]


def _filling(images: Tensor, fill: Fill, seed: int) -> Tensor:
    """Return what stands in for removed pixels, (B, C, H, W)."""
    if fill == "mean":
        return mean_colour(images).expand_as(images)
    if fill == "black":
        return torch.zeros_like(images)
    return torch.rand(images.shape[1:], generator=generator_of(seed, 2)).to(images).expand_as(images)
