"""Views of images for self-supervised learning: other colours and a small shift, the shapes as they are.

TrivialAugment (Müller and Hutter, ICCV 2021) takes one operation an image, at a random strength. The operations that
change no shapes are left, as Nauta et al. 2023 (PIP-Net) use them: two views of an image then show the same things in
the same cells of a latent map, up to the shift.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as vision

ENHANCED, SATURATION = 0.5, 0.02  # the largest change of a factor
BITS = 6  # that posterising takes away at most
LUMA = (0.2989, 0.587, 0.114)


def grey(images: Tensor) -> Tensor:
    """Brightness (B, 1, H, W) of images (B, C, H, W)."""
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    return (images * images.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)


def smooth(images: Tensor) -> Tensor:
    """Images averaged over 3×3 pixels, the middle one counted five times; the outermost pixels as they are."""
    channels = images.shape[1]
    kernel = images.new_full((channels, 1, 3, 3), 1 / 13)
    kernel[:, :, 1, 1] = 5 / 13
    found = images.clone()
    if min(images.shape[-2:]) > 2:
        found[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel, groups=channels)
    return found


def blend(images: Tensor, dull: Tensor, change: Tensor) -> Tensor:
    """dull + (1 + change) · (images − dull) within [0, 1], for changes (B,).

    Example:
        >>> blend(torch.tensor([0.8, 0.2]).reshape(2, 1, 1, 1), torch.tensor(0.0), torch.tensor([0.5, -0.5])).flatten()
        tensor([1.0000, 0.1000])
    """
    return (dull + (1 + change[:, None, None, None]) * (images - dull)).clamp(0, 1)


def brightness(images: Tensor, change: Tensor) -> Tensor:
    """Brighter or darker by ``change`` (B,) ∈ [−1, 1] of what is allowed; so are the others."""
    return blend(images, images.new_zeros(()), ENHANCED * change)


def colour(images: Tensor, change: Tensor) -> Tensor:
    """More or less colourful, hardly: colours tell birds apart."""
    return blend(images, grey(images), SATURATION * change)


def contrast(images: Tensor, change: Tensor) -> Tensor:
    """Farther from the mean brightness, or nearer."""
    return blend(images, grey(images).mean(dim=(1, 2, 3), keepdim=True), ENHANCED * change)


def sharpness(images: Tensor, change: Tensor) -> Tensor:
    """Farther from the smoothed image, or nearer."""
    return blend(images, smooth(images), ENHANCED * change)


def posterise(images: Tensor, change: Tensor) -> Tensor:
    """Only the highest 2 to 8 of the bits of a pixel are kept."""
    step = 2.0 ** (BITS * change.abs()).round()[:, None, None, None]
    levels = (images * 255).round()
    return torch.floor(levels / step) * step / 255


def stretch(images: Tensor, change: Tensor) -> Tensor:
    """Each channel from black to white, "auto-contrast"."""
    found: Tensor = vision.autocontrast(images)
    return found


def equalise(images: Tensor, change: Tensor) -> Tensor:
    """All levels of a channel equally frequent."""
    found: Tensor = vision.equalize(images)
    return found


def unchanged(images: Tensor, change: Tensor) -> Tensor:
    """As they are."""
    return images


OPERATIONS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    unchanged,
    brightness,
    colour,
    contrast,
    sharpness,
    posterise,
    stretch,
    equalise,
)


def recoloured(images: Tensor, strength: float = 1.0) -> Tensor:
    """One operation an image, each as likely as the others, at a random strength.

    Args:
        images: (B, C, H, W) in [0, 1].
        strength: of the largest change, from 0 to 1; at 0 nothing is done.

    Returns:
        Likewise; drawn from torch's default generators.

    Example:
        >>> recoloured(torch.rand(16, 3, 8, 8)).shape
        torch.Size([16, 3, 8, 8])
    """
    if strength == 0:
        return images
    chosen = torch.randint(len(OPERATIONS), (len(images),), device=images.device)
    change = strength * (2 * torch.rand(len(images), device=images.device) - 1)
    found = images.clone()
    for number, operation in enumerate(OPERATIONS):
        rows = (chosen == number).nonzero().flatten()
        if len(rows):
            found[rows] = operation(images[rows], change[rows])
    return found


def shifted(images: Tensor, most: int) -> Tensor:
    """Each image moved by a random number of pixels, up to ``most`` from the one extreme to the other.

    What comes in at the border is what was there: a crop from a slightly larger image.

    Args:
        images: (B, C, H, W).
        most: pixels; two shifted images differ by as many at most in each direction.

    Example:
        >>> shifted(torch.rand(2, 3, 8, 8), 4).shape
        torch.Size([2, 3, 8, 8])
    """
    if most == 0:
        return images
    height, width = images.shape[-2:]
    offsets = torch.randint(most + 1, (2, len(images), 1), device=images.device) - most // 2
    rows = (torch.arange(height, device=images.device) + offsets[0]).clamp(0, height - 1)  # (B, H)
    columns = (torch.arange(width, device=images.device) + offsets[1]).clamp(0, width - 1)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    # Advanced indices on both sides of a slice put their axes first: (B, H, W, C).
    return images[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
