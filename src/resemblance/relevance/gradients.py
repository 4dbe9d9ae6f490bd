"""Relevance by gradients: input × gradient, SmoothGrad and integrated gradients, of any function of images.

The function returns K values per image. A map costs one forward pass per noise sample or step, and K backward passes.
Nothing here knows a model.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from resemblance.config.errors import UserError

Values = Callable[[Tensor], Tensor]  # images (B, C, H, W) → (B, K)

SAMPLES, STEPS = 16, 32
NOISE = 0.15  # deviation, as a share of the image's range; the authors recommend 10 to 20 %


def input_times_gradient(values: Values, images: Tensor) -> Tensor:
    """Return x · ∂v/∂x for each of the K values, summed over the colour channels (Shrikumar et al. 2016).

    Args:
        values: the function, (B, C, H, W) → (B, K).
        images: (B, C, H, W).

    Returns:
        (B, K, H, W), signed.

    Raises:
        UserError: if the values have no gradient with respect to the images.

    Example:
        >>> images = torch.tensor([[[[1.0, 2.0]]]])
        >>> input_times_gradient(lambda x: (3 * x).flatten(1).sum(1, keepdim=True), images)
        tensor([[[[3., 6.]]]])
    """
    return (images[:, None] * gradients(values, images)).sum(dim=2)


def smooth_gradients(
    values: Values, images: Tensor, *, seed: int = 0, samples: int = SAMPLES, noise: float = NOISE
) -> Tensor:
    """Return the mean gradient of each of the K values over noisy copies of the images (Smilkov et al. 2017).

    The noise is a function of seed and sample alone, and the same for all images: a map does not depend on the other
    images of its batch.

    Args:
        values: the function, (B, C, H, W) → (B, K).
        images: (B, C, H, W).
        seed: the seed of the noise.
        samples: the number of noisy copies, n in the paper.
        noise: the deviation σ of the noise, as a share of the range of each image.

    Returns:
        (B, K, C, H, W).

    Raises:
        UserError: if the values have no gradient with respect to the images.

    Example:
        >>> images = torch.tensor([[[[1.0, 2.0]]]])
        >>> smooth_gradients(lambda x: (3 * x).flatten(1).sum(1, keepdim=True), images, samples=2)
        tensor([[[[[3., 3.]]]]])
    """
    flat = images.flatten(1)
    deviation = noise * (flat.amax(dim=1) - flat.amin(dim=1))[:, None, None, None]
    total = images.new_zeros(())
    for sample in range(samples):
        moved = images + deviation * noise_of(seed, sample, images.shape[1:]).to(images)
        total = total + gradients(values, moved)
    return total / samples


def smooth_relevance(values: Values, images: Tensor, *, seed: int = 0, samples: int = SAMPLES) -> Tensor:
    """Return SmoothGrad times the difference of each pixel from the image's mean colour.

    The mean gradient alone says in which direction a pixel should change, also where the image has nothing to remove;
    times this difference, it estimates what is lost if the pixel takes the mean colour. Smilkov et al. 2017 (section
    3.4) discuss the product with the image itself, in which black pixels can have no relevance.

    Args:
        values: the function, (B, C, H, W) → (B, K).
        images: (B, C, H, W).
        seed: the seed of the noise.
        samples: the number of noisy copies.

    Returns:
        (B, K, H, W), signed, summed over the colour channels.

    Raises:
        UserError: if the values have no gradient with respect to the images.

    Example:
        >>> images = torch.tensor([[[[1.0, 2.0]]]])
        >>> smooth_relevance(lambda x: (3 * x).flatten(1).sum(1, keepdim=True), images, samples=2)
        tensor([[[[-1.5000,  1.5000]]]])
    """
    contrast = (images - mean_colour(images))[:, None]
    return (contrast * smooth_gradients(values, images, seed=seed, samples=samples)).sum(dim=2)


def integrated_gradients(
    values: Values, images: Tensor, *, baseline: Tensor | float | None = None, steps: int = STEPS
) -> Tensor:
    """Return the integrated gradients of each of the K values (Sundararajan et al. 2017, eq. 1).

    The path is the straight line from the baseline; the integral is a Gauss-Legendre sum. The map of a value adds up to
    the difference between the value of the image and that of the baseline (completeness), up to the error of the sum.

    Args:
        values: the function, (B, C, H, W) → (B, K).
        images: (B, C, H, W).
        baseline: the image where the path starts, or its brightness. By default, each image's mean colour: a path from
            black (0.0), as in the paper's experiments, leaves no relevance to dark pixels.
        steps: the number of points on the path.

    Returns:
        (B, K, H, W), signed, summed over the colour channels.

    Raises:
        UserError: if the values have no gradient with respect to the images.

    Example:
        >>> images = torch.tensor([[[[1.0, 2.0]]]])
        >>> values = lambda x: x.square().flatten(1).sum(1, keepdim=True)
        >>> integrated_gradients(values, images, baseline=0.0).round(decimals=4)
        tensor([[[[1., 4.]]]])
    """
    start = mean_colour(images) if baseline is None else baseline
    difference = images - start
    total = images.new_zeros(())
    for place, weight in _points(steps):
        gradient = gradients(values, start + place * difference)
        total = total + weight * (difference[:, None] * gradient).sum(dim=2)
    return total


def gradients(values: Values, images: Tensor) -> Tensor:
    """Return the gradient of each of the K values with respect to its image, by one forward and K backward passes.

    Args:
        values: the function, (B, C, H, W) → (B, K); the values of an image depend on that image alone.
        images: (B, C, H, W).

    Returns:
        (B, K, C, H, W).

    Raises:
        UserError: if the values have no gradient with respect to the images.
    """
    with torch.inference_mode(False), torch.enable_grad():
        variable = images.detach().clone().requires_grad_()
        computed = values(variable)
        if not computed.requires_grad:
            raise UserError("what the model computes here has no gradient; choose another kind of map")
        columns = computed.sum(dim=0)
        maps = []
        for k in range(len(columns)):
            more = k + 1 < len(columns)
            (gradient,) = torch.autograd.grad(columns[k], variable, retain_graph=more, allow_unused=True)
            maps.append(torch.zeros_like(variable) if gradient is None else gradient)
        return torch.stack(maps, dim=1).detach()


def mean_colour(images: Tensor) -> Tensor:
    """Return the mean colour of each image, (B, C, 1, 1), by which integrated gradients and deletion replace pixels."""
    return images.mean(dim=(2, 3), keepdim=True)


def noise_of(seed: int, sample: int, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Return normal noise that is a function of seed and sample alone, on the CPU.

    Example:
        >>> torch.equal(noise_of(0, 3, (1, 4, 4)), noise_of(0, 3, (1, 4, 4)))
        True
    """
    return torch.randn(shape, generator=generator_of(seed, sample))


def generator_of(*place: int) -> torch.Generator:
    """Return a generator of the CPU that is seeded by these numbers."""
    digest = blake2b(repr(place).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def _points(steps: int) -> list[tuple[float, float]]:
    """Return places and weights of the Gauss-Legendre rule on [0, 1]."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    return list(zip(((places + 1) / 2).tolist(), (weights / 2).tolist(), strict=True))
