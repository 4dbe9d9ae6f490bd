"""Random noise for images, the same for an image in any batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]


def drawn(
    images: Tensor,
    draw: Draw,
    *,
    seed: int = 0,
    indices: Tensor | Sequence[int] | None = None,
    number: int = 0,
) -> Tensor:
    """Return noise of the shape of images, drawn for each image from (seed, index, number) alone.

    Args:
        images: (B, ...).
        draw: fills a shape from a generator.
        seed: of the run.
        indices: (B,) numbers of the images, so that the batches do not matter; by default their places in the batch.
        number: tells several draws for one image apart.

    Returns:
        (B, ...), of the images' type and device.
    """
    if isinstance(indices, Tensor):
        indices = indices.tolist()  # all at once: each number alone would wait for the device
    rows = range(len(images)) if indices is None else [int(index) for index in indices]
    if len(rows) != len(images):
        raise ValueError(f"{len(rows)} indices for {len(images)} images")
    shape = tuple(images.shape[1:])
    noise = [draw(np.random.default_rng([seed % (1 << 64), row, number]), shape) for row in rows]
    stacked = np.stack(noise) if noise else np.zeros(tuple(images.shape))
    return torch.from_numpy(stacked).to(images)


def uniform_noise(
    images: Tensor,
    radius: float,
    *,
    seed: int = 0,
    indices: Tensor | Sequence[int] | None = None,
    number: int = 0,
) -> Tensor:
    """Return uniform noise in [−radius, radius], the L∞ ball.

    Args:
        images: (B, ...).
        radius: in the units of the images.
        seed: of the run.
        indices: (B,) numbers of the images; by default their places in the batch.
        number: tells several draws for one image apart.

    Example:
        >>> images = torch.zeros(2, 1, 4, 4)
        >>> noise = uniform_noise(images, 0.1, indices=[7, 8])
        >>> bool((noise[1] == uniform_noise(images[:1], 0.1, indices=[8])[0]).all()), float(noise.abs().max()) <= 0.1
        (True, True)
    """
    return drawn(
        images,
        lambda generator, shape: generator.uniform(-radius, radius, shape),
        seed=seed,
        indices=indices,
        number=number,
    )


def normal_noise(
    images: Tensor,
    deviation: float,
    *,
    largest: float | None = None,
    seed: int = 0,
    indices: Tensor | Sequence[int] | None = None,
    number: int = 0,
) -> Tensor:
    """Return normal noise of mean 0, cut at ±``largest``.

    Args:
        images: (B, ...).
        deviation: in the units of the images.
        largest: in the same units; by default not cut.
        seed: of the run.
        indices: (B,) numbers of the images; by default their places in the batch.
        number: tells several draws for one image apart.

    Example:
        >>> float(normal_noise(torch.zeros(1, 3, 8, 8), 0.2, largest=0.25).abs().max())
        0.25
    """

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        noise = generator.normal(0.0, deviation, shape)
        return noise if largest is None else noise.clip(-largest, largest)

    return drawn(images, draw, seed=seed, indices=indices, number=number)


def noisy_images(
    images: Tensor,
    std: Sequence[float],
    *,
    deviation: float = 0.2,
    largest: float = 0.25,
    seed: int = 0,
    indices: Tensor | Sequence[int] | None = None,
    clip: bool = True,
) -> Tensor:
    """Return images with the noise under which `Stability` compares the parts that prototypes hit.

    The noise N(0, 0.2), cut at ±0.25, is in the units of the normalised image; with ImageNet's standard deviations
    this is about 11 of 255 grey levels. Source: Huang et al. 2023; their noise has no seed and leaves
    [0, 1].

    Args:
        images: (B, C, H, W) in [0, 1].
        std: the standard deviation per channel by which the model divides.
        deviation: of the noise, in normalised units.
        largest: of the noise, in normalised units.
        seed: of the run.
        indices: (B,) numbers of the images; by default their places in the batch.
        clip: whether the result is kept in [0, 1]; the released code does not.

    Example:
        >>> images = torch.full((1, 3, 8, 8), 0.5)
        >>> bool(((noisy_images(images, (0.2, 0.2, 0.2)) - 0.5).abs() <= 0.05 + 1e-6).all())
        True
    """
    scale = torch.tensor(std, dtype=images.dtype, device=images.device)[:, None, None]
    noise = normal_noise(images, deviation, largest=largest, seed=seed, indices=indices)
    changed = images + scale * noise
    return changed.clamp(0, 1) if clip else changed
