"""Views of images for self-supervised learning: other colours and a small shift, but the same shapes.

TrivialAugment (Müller and Hutter, ICCV 2021) applies one operation per image, with a random strength. Here are the
operations that do not change shapes, as Nauta et al. 2023 (PIP-Net) use them: two views of an image then show the
same things in the same cells of a latent map, up to the shift.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as vision

ENHANCED, SATURATION = 0.5, 0.02  # the largest change of a factor
BITS = 6  # the most bits that posterising removes
LUMA = (0.2989, 0.587, 0.114)


def grey(images: Tensor) -> Tensor:
    """Compute the brightness (B, 1, H, W) of images (B, C, H, W)."""
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    return (images * images.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)


def smooth(images: Tensor) -> Tensor:
    """Average images over 3×3 pixels, with weight 5 for the middle one; border pixels do not change."""
    channels = images.shape[1]
    kernel = images.new_full((channels, 1, 3, 3), 1 / 13)
    kernel[:, :, 1, 1] = 5 / 13
    smoothed = images.clone()
    if min(images.shape[-2:]) > 2:
        smoothed[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel, groups=channels)
    return smoothed


def blend(images: Tensor, dull: Tensor, change: Tensor) -> Tensor:
    """Compute dull + (1 + change) · (images − dull), clamped to [0, 1], for changes (B,).

    Example:
        >>> blend(torch.tensor([0.8, 0.2]).reshape(2, 1, 1, 1), torch.tensor(0.0), torch.tensor([0.5, -0.5])).flatten()
        tensor([1.0000, 0.1000])
    """
    return (dull + (1 + change[:, None, None, None]) * (images - dull)).clamp(0, 1)


def brightness(images: Tensor, change: Tensor) -> Tensor:
    """Make images brighter or darker by ``change`` (B,), from −1 to 1 times the largest change."""
    return blend(images, images.new_zeros(()), ENHANCED * change)


def colour(images: Tensor, change: Tensor) -> Tensor:
    """Change the saturation, very slightly: bird species differ in colour."""
    return blend(images, grey(images), SATURATION * change)


def any_colour(images: Tensor, change: Tensor) -> Tensor:
    """Change the saturation as much as the brightness: the model of a car does not depend on its colour."""
    return blend(images, grey(images), ENHANCED * change)


def contrast(images: Tensor, change: Tensor) -> Tensor:
    """Increase or decrease the difference from the mean brightness."""
    return blend(images, grey(images).mean(dim=(1, 2, 3), keepdim=True), ENHANCED * change)


def sharpness(images: Tensor, change: Tensor) -> Tensor:
    """Increase or decrease the difference from the smoothed image."""
    return blend(images, smooth(images), ENHANCED * change)


def posterise(images: Tensor, change: Tensor) -> Tensor:
    """Keep only the highest 2 to 8 bits of each pixel."""
    step = 2.0 ** (BITS * change.abs()).round()[:, None, None, None]
    levels = (images * 255).round()
    return torch.floor(levels / step) * step / 255


def solarise(images: Tensor, change: Tensor) -> Tensor:
    """Invert the pixels that are at least as bright as a threshold: white for no change, black for the largest."""
    bright = images >= 1 - change.abs()[:, None, None, None]
    return torch.where(bright, 1 - images, images)


def autocontrast(images: Tensor, change: Tensor) -> Tensor:
    """Scale each channel to the full range from black to white."""
    scaled: Tensor = vision.autocontrast(images)
    return scaled


def equalise(images: Tensor, change: Tensor) -> Tensor:
    """Make all levels of a channel equally frequent."""
    equalised: Tensor = vision.equalize(images)
    return equalised


def unchanged(images: Tensor, change: Tensor) -> Tensor:
    """Return the images as they are."""
    return images


Operation = Callable[[Tensor, Tensor], Tensor]
LEVELS: tuple[Operation, ...] = (
    unchanged,
    brightness,
    colour,
    contrast,
    sharpness,
    posterise,
    autocontrast,
    equalise,
)
OPERATIONS = {  # of which the authors choose one, for birds and pets, and for cars
    "birds": LEVELS,
    "cars": (*(any_colour if one is colour else one for one in LEVELS), solarise),
}


def recoloured(images: Tensor, strength: float = 1.0, kind: str = "birds") -> Tensor:
    """Apply one random operation per image, with equal probabilities and a random strength.

    Args:
        images: (B, C, H, W) in [0, 1].
        strength: factor of the largest change, from 0 to 1; 0 does nothing.
        kind: which `OPERATIONS`.

    Returns:
        Images of the same shape; random numbers come from torch's default generators.

    Example:
        >>> recoloured(torch.rand(16, 3, 8, 8)).shape
        torch.Size([16, 3, 8, 8])
    """
    if strength == 0:
        return images
    operations = OPERATIONS[kind]
    chosen = torch.randint(len(operations), (len(images),), device=images.device)
    change = strength * (2 * torch.rand(len(images), device=images.device) - 1)
    recoloured_images = images.clone()
    for number, operation in enumerate(operations):
        rows = (chosen == number).nonzero().flatten()
        if len(rows):
            recoloured_images[rows] = operation(images[rows], change[rows])
    return recoloured_images


def shifted(images: Tensor, most: int) -> Tensor:
    """Shift each image by a random number of pixels, with a range of ``most`` pixels.

    The border pixels are repeated where the image ends: the result looks like a crop from a slightly larger image.

    Args:
        images: (B, C, H, W).
        most: the largest difference, in pixels, between two shifted images in each direction.

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
