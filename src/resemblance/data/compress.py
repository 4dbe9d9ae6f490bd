"""JPEG compression of pictures, and its use as an augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from resemblance.config.training import JPEG_QUALITY


def compress(image: Image.Image, quality: int = JPEG_QUALITY) -> Image.Image:
    """Return a picture as it is after JPEG compression, with the settings of Pillow.

    A picture of 8×8 pixels is a single block of JPEG: on images of up to about 32 pixels per side, compression changes
    much of the picture.

    Args:
        image: of mode L or RGB.
        quality: 1 to 95.

    Example:
        >>> picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
        >>> compressed = compress(picture)
        >>> compressed.mode, compressed.size, compressed == picture
        ('RGB', (16, 16), False)
    """
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    with Image.open(file) as compressed:
        compressed.load()
        return Image.frombytes(compressed.mode, compressed.size, compressed.tobytes())


@dataclass(frozen=True)
class JpegAugment:
    """JPEG compression of training images at random: a remedy of Hoffmann et al. 2021, appendix F.2.

    Args:
        probability: with which an image is compressed, in each epoch.
        quality: 1 to 95.

    Example:
        >>> draws = [np.random.default_rng(seed) for seed in range(4)]
        >>> [JpegAugment(0.5, 20).applies(draw) for draw in draws]
        [False, False, True, True]
    """

    probability: float
    quality: int = JPEG_QUALITY

    def applies(self, rng: np.random.Generator) -> bool:
        """Draw whether an image is compressed, from its generator."""
        return bool(rng.random() < self.probability)
