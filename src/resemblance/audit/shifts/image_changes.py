"""Changes of a picture at its own size, before a model reads it, as users' pictures are changed.

Noise depends on the seed and the picture alone: not on the order of the images, nor on its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, radians, tan
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from resemblance.data.compress import compress

Floats = NDArray[np.floating[Any]]

SMALLEST_BLUR = 0.6  # pixels: a Gaussian of a smaller deviation changes almost nothing


def jpeg(image: Image.Image, quality: float, rng: np.random.Generator) -> Image.Image:
    """Compress a picture as JPEG of a quality from 1 to 95, and decode it again.

    Source: Hoffmann et al. 2021, section 4 (quality 20).
    """
    return compress(image, round(quality))


def blur(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """Blur a picture by a Gaussian whose deviation is a share of the shorter side, at least 0.6 pixels."""
    return image.filter(ImageFilter.GaussianBlur(max(share * min(image.size), SMALLEST_BLUR)))


def gaussian_noise(image: Image.Image, deviation: float, rng: np.random.Generator) -> Image.Image:
    """Add Gaussian noise of a deviation in units of [0, 1] to each pixel and channel."""
    pixels = _floats(image)
    return _picture(pixels + deviation * rng.standard_normal(pixels.shape, dtype=np.float32))


def speckle_noise(image: Image.Image, deviation: float, rng: np.random.Generator) -> Image.Image:
    """Multiply each pixel by 1 + Gaussian noise, as coherent waves do (ultrasound)."""
    pixels = _floats(image)
    return _picture(pixels + pixels * deviation * rng.standard_normal(pixels.shape, dtype=np.float32))


def rayleigh_noise(image: Image.Image, deviation: float, rng: np.random.Generator) -> Image.Image:
    """Take the magnitude of each pixel plus complex Gaussian noise, as in magnetic resonance images.

    Where the picture is black, the result has a Rayleigh distribution. Source: Gudbjartsson & Patz 1995.
    """
    pixels = _floats(image)
    real, imaginary = deviation * rng.standard_normal((2, *pixels.shape), dtype=np.float32)
    return _picture(np.hypot(pixels + real, imaginary))


def darker(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """Blend a picture with black."""
    return image.point([round((1 - share) * level) for level in range(256)] * len(image.getbands()))


def lighter(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """Blend a picture with white."""
    return image.point([round(255 - (1 - share) * (255 - n)) for n in range(256)] * len(image.getbands()))


def rotation(image: Image.Image, degrees: float, rng: np.random.Generator) -> Image.Image:
    """Rotate a picture to the left or to the right; pixels from outside have the value of the nearest border pixel."""
    angle = degrees if rng.random() < 0.5 else -degrees
    margin = ceil(tan(radians(abs(degrees))) * max(image.size)) + 1
    sides = ((margin, margin), (margin, margin)) + ((0, 0),) * (len(image.getbands()) > 1)
    padded = Image.fromarray(np.pad(np.asarray(image), sides, mode="edge"))
    turned = padded.rotate(angle, Image.Resampling.BICUBIC)
    return turned.crop((margin, margin, margin + image.width, margin + image.height))


def resizing(image: Image.Image, factor: float, rng: np.random.Generator) -> Image.Image:
    """Make a picture smaller by a factor below 1, and enlarge it to its size again, both bilinearly."""
    small = (max(1, round(factor * image.width)), max(1, round(factor * image.height)))
    return image.resize(small, Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR)


@dataclass(frozen=True)
class ImageChange:
    """A change of a picture, with its strength.

    Args:
        name: its name in files.
        title: its name in tables.
        strength: the second argument of ``function``.
        setting: the strength in words, in which ``{}`` is replaced.
        function: the change.

    Example:
        >>> picture = Image.new("L", (12, 9), 100)
        >>> CHANGES["darker"](picture).getpixel((0, 0)), CHANGES["lighter"](picture).getpixel((0, 0))
        (70, 146)
        >>> noisy = CHANGES["gaussian_noise"]
        >>> noisy(picture, seed=1) == noisy(picture, seed=1), noisy(picture, seed=1) == noisy(picture, seed=2)
        (True, False)
    """

    name: str
    title: str
    strength: float
    setting: str
    function: Callable[[Image.Image, float, np.random.Generator], Image.Image]

    def __call__(self, image: Image.Image, seed: int = 0) -> Image.Image:
        """Return a picture of mode L or RGB after the change, of the same mode and size."""
        return self.function(image, self.strength, _generator(image, seed))

    @property
    def words(self) -> str:
        """The change with its strength, for instance ``JPEG, quality 20``."""
        return f"{self.title}, {self.setting.format(f'{self.strength:g}')}"


# The strengths of noise are the weakest of ImageNet-C (Hendrycks & Dietterich 2019), that of blur its second.
CHANGES = {
    change.name: change
    for change in (
        ImageChange("jpeg", "JPEG", 20, "quality {}", jpeg),
        ImageChange("blur", "blur", 1 / 112, "deviation of 1/112 of the shorter side", blur),
        ImageChange("gaussian_noise", "Gaussian noise", 0.08, "deviation {}", gaussian_noise),
        ImageChange("speckle_noise", "speckle noise", 0.15, "deviation {} of the brightness", speckle_noise),
        ImageChange("rayleigh_noise", "Rayleigh noise", 0.08, "deviation {}", rayleigh_noise),
        ImageChange("darker", "darker", 0.3, "blended with {} of black", darker),
        ImageChange("lighter", "lighter", 0.3, "blended with {} of white", lighter),
        ImageChange("rotation", "rotation", 5, "by {}° to either side", rotation),
        ImageChange("resizing", "resizing", 0.5, "to {} of its size and back", resizing),
    )
}


def _generator(image: Image.Image, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed} {image.mode} {image.size} ".encode() + image.tobytes()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def _floats(image: Image.Image) -> Floats:
    return np.asarray(image, dtype=np.float32) / 255


def _picture(pixels: Floats) -> Image.Image:
    return Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8))
