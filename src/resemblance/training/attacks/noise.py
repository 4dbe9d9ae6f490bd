"""Random noise for images, the same for an image in any batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]


@dataclass(frozen=True)
class ImageNoise:
    """Draws noise for each image from (seed, index of the image, number of the draw) alone, whatever the batch.

    Args:
        seed: of the run.
        indices: (B,) numbers of the images; by default their places in the batch.

    Example:
        >>> images = torch.zeros(2, 1, 4, 4)
        >>> noise, same = ImageNoise(0, [7, 8]).uniform(images, 0.1), ImageNoise(0, [8]).uniform(images[:1], 0.1)
        >>> torch.equal(noise[1], same[0]), float(noise.abs().max()) <= 0.1
        (True, True)
    """

    seed: int = 0
    indices: Tensor | Sequence[int] | None = None

    def uniform(self, images: Tensor, radius: float, number: int = 0) -> Tensor:
        """Return uniform noise in [−radius, radius], the L∞ ball, of the images' shape, type and device.

        Args:
            images: (B, ...).
            radius: in the units of the images.
            number: tells several draws for one image apart.
        """
        return self._draw(images, lambda generator, shape: generator.uniform(-radius, radius, shape), number)

    def normal(
        self, images: Tensor, deviation: float, largest: float | None = None, number: int = 0
    ) -> Tensor:
        """Return normal noise of mean 0, of the images' shape, type and device.

        Args:
            images: (B, ...).
            deviation: in the units of the images.
            largest: in the same units, where the noise is cut on both sides; by default not cut.
            number: tells several draws for one image apart.

        Example:
            >>> float(ImageNoise().normal(torch.zeros(1, 3, 8, 8), 0.2, largest=0.25).abs().max())
            0.25
        """

        def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
            noise = generator.normal(0.0, deviation, shape)
            return noise if largest is None else noise.clip(-largest, largest)

        return self._draw(images, draw, number)

    def _draw(self, images: Tensor, draw: Draw, number: int) -> Tensor:
        indices = self.indices
        if isinstance(indices, Tensor):
            indices = indices.tolist()  # all at once: each number alone would wait for the device
        rows = range(len(images)) if indices is None else [int(index) for index in indices]
        if len(rows) != len(images):
            raise ValueError(f"{len(rows)} indices for {len(images)} images")
        shape = tuple(images.shape[1:])
        noise = [draw(np.random.default_rng([self.seed % (1 << 64), row, number]), shape) for row in rows]
        stacked = np.stack(noise) if noise else np.zeros(tuple(images.shape))
        return torch.from_numpy(stacked).to(images)


def noisy_images(
    images: Tensor,
    std: Sequence[float],
    noise: ImageNoise | None = None,
    *,
    deviation: float = 0.2,
    largest: float = 0.25,
    clip: bool = True,
) -> Tensor:
    """Return images with the noise under which `Stability` compares the parts that prototypes hit.

    The noise N(0, 0.2), cut at ±0.25, is in the units of the normalised image; with ImageNet's standard deviations
    this is about 11 of 255 grey levels. Source: Huang et al. 2023; their noise has no seed and leaves
    [0, 1].

    Args:
        images: (B, C, H, W) in [0, 1].
        std: the standard deviation per channel by which the model divides.
        noise: draws the noise; by default with seed 0.
        deviation: of the noise, in normalised units.
        largest: of the noise, in normalised units.
        clip: whether the result is kept in [0, 1]; the released code does not.

    Example:
        >>> images = torch.full((1, 3, 8, 8), 0.5)
        >>> bool(((noisy_images(images, (0.2, 0.2, 0.2)) - 0.5).abs() <= 0.05 + 1e-6).all())
        True
    """
    scale = torch.tensor(std, dtype=images.dtype, device=images.device)[:, None, None]
    changed = images + scale * (noise or ImageNoise()).normal(images, deviation, largest)
    return changed.clamp(0, 1) if clip else changed
