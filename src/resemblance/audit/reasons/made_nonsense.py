"""Images that show nothing: noise, one colour, a checkerboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Make = Callable[[np.random.Generator, int, tuple[int, int, int], Tensor, Tensor], NDArray[np.float64]]


def _uniform(
    generator: np.random.Generator, _: int, shape: tuple[int, int, int], *__: Tensor
) -> NDArray[np.float64]:
    return generator.random(shape)


def _normal(
    generator: np.random.Generator, _: int, shape: tuple[int, int, int], mean: Tensor, std: Tensor
) -> NDArray[np.float64]:
    centre, width = (values.double().cpu().numpy().reshape(-1, 1, 1) for values in (mean, std))
    return np.asarray((centre + width * generator.standard_normal(shape)).clip(0, 1))


def _constant(
    _: np.random.Generator, number: int, shape: tuple[int, int, int], *__: Tensor
) -> NDArray[np.float64]:
    return np.full(shape, (0.5, 0.0, 1.0)[number])


def _checkerboard(
    _: np.random.Generator, number: int, shape: tuple[int, int, int], *__: Tensor
) -> NDArray[np.float64]:
    size, first = 2 ** (number // 2), number % 2
    rows, columns = np.indices(shape[1:]) // size
    return np.broadcast_to((rows + columns + first) % 2, shape).astype(np.float64)


# Name → how an image is made, and how many there are; None for any number.
KINDS: dict[str, tuple[Make, int | None]] = {
    "uniform noise": (_uniform, None),
    "normal noise": (_normal, None),
    "one colour": (_constant, 3),
    "checkerboard": (_checkerboard, 8),
}


def nonsense_images(
    kind: str,
    numbers: Sequence[int],
    shape: tuple[int, int, int],
    mean: Tensor,
    std: Tensor,
    seed: int = 0,
) -> Tensor:
    """Return images of a kind, each made from seed and number alone, (B, C, H, W) float32 in [0, 1] on the CPU.

    Args:
        kind: of `KINDS`: ``uniform noise``; ``normal noise`` around the data's mean colour with its deviation; ``one
            colour`` (grey, black, white); ``checkerboard`` (cells of 1, 2, 4 and 8 pixels, both ways round).
        numbers: the numbers of the images.
        shape: channels, height and width.
        mean: (C,) of the data.
        std: (C,) of the data.
        seed: of the draws.

    Example:
        >>> grey = nonsense_images("one colour", [0], (3, 4, 4), torch.zeros(3), torch.ones(3))
        >>> grey.shape, grey.unique().tolist()
        (torch.Size([1, 3, 4, 4]), [0.5])
    """
    make, _ = KINDS[kind]
    place = list(KINDS).index(kind)
    images = [
        make(np.random.default_rng([seed, place, number]), number, shape, mean, std) for number in numbers
    ]
    return torch.from_numpy(np.stack(images)).float()
