"""Convolutional autoencoders whose decoder mirrors the encoder, for images of any size and channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec

Activation = Callable[[], nn.Module]
STRIDE = 2
LEAK = 0.2  # slope of the leaky ReLU: not in the paper; the default of TensorFlow, the authors' framework


class Autoencoder(nn.Module):
    """Strided convolutions down to a code, then strided transposed convolutions up to the exact size of the image.

    Each transposed convolution pads its output by the row or column that the corresponding convolution of the
    encoder restored by rounding, so that images of any size are reconstructed at their size. Weights are not shared.

    Args:
        image: size and channels of the images.
        widths: channels after each layer of the encoder; the last are those of the code.
        kernel: side of all kernels.
        padding: number of zeros on each side of the input of each convolution.
        hidden: the nonlinearity between layers, in encoder and decoder.
        code: the nonlinearity of the code.

    Attributes:
        code_shape: the shape (D, h, w) of the code.

    Raises:
        UserError: if images are too small for the layers.

    Example:
        >>> import torch
        >>> image = ImageSpec(33, 47, 3, (0.0,) * 3, (1.0,) * 3)
        >>> autoencoder = Autoencoder(image, (32, 32, 32, 10), 3, 1, nn.Sigmoid, nn.Sigmoid)
        >>> autoencoder.code_shape, autoencoder.decode(autoencoder.encode(torch.rand(2, 3, 33, 47))).shape
        ((10, 3, 3), torch.Size([2, 3, 33, 47]))
    """

    def __init__(
        self,
        image: ImageSpec,
        widths: Sequence[int],
        kernel: int,
        padding: int,
        hidden: Activation,
        code: Activation,
    ) -> None:
        super().__init__()
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        channels, size = image.channels, (image.height, image.width)
        for width in widths:
            smaller = (_shrunk(size[0], kernel, padding), _shrunk(size[1], kernel, padding))
            if min(smaller) < 1:
                least = smallest_side(len(widths), kernel, padding)
                raise UserError(
                    f"images of {image.height}x{image.width} pixels are too small for {len(widths)} layers "
                    f"of {kernel}x{kernel} convolutions; use --image-size {least} or more, "
                    "or --architecture mnist"
                )
            restored = (
                size[0] - _grown(smaller[0], kernel, padding),
                size[1] - _grown(smaller[1], kernel, padding),
            )
            last = len(down) // 2 == len(widths) - 1
            down += [nn.Conv2d(channels, width, kernel, STRIDE, padding), code() if last else hidden()]
            mirror = nn.ConvTranspose2d(width, channels, kernel, STRIDE, padding, output_padding=restored)
            up = [mirror, hidden() if up else nn.Sigmoid(), *up]
            channels, size = width, smaller
        self.encoder = nn.Sequential(*down)
        self.decoder = nn.Sequential(*up)
        self.code_shape = (channels, *size)

    @property
    def code_length(self) -> int:
        """The length of a flattened code, D·h·w."""
        return math.prod(self.code_shape)

    def encode(self, images: Tensor) -> Tensor:
        """Compute the codes (B, D, h, w) of images (B, C, H, W) in [0, 1]."""
        codes: Tensor = self.encoder(images)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes (B, D, h, w), or flattened (B, D·h·w), to images (B, C, H, W) in [0, 1]."""
        images: Tensor = self.decoder(codes.reshape(-1, *self.code_shape))
        return images


def _shrunk(side: int, kernel: int, padding: int) -> int:
    return (side + 2 * padding - kernel) // STRIDE + 1


def _grown(side: int, kernel: int, padding: int) -> int:
    return (side - 1) * STRIDE + kernel - 2 * padding


def smallest_side(layers: int, kernel: int, padding: int) -> int:
    """Return the smallest image side for which at least one cell is left after ``layers`` strided convolutions.

    Example:
        >>> smallest_side(2, kernel=5, padding=0)
        13
    """
    side = 1
    for _ in range(layers):
        side = max(_grown(side, kernel, padding), 1)
    return side


def choose_architecture(image: ImageSpec) -> str:
    """Return the architecture for an image size.

    It is ``mnist`` up to 40 pixels and ``cars`` up to 96, as in the paper's studies with 28 and 64 pixels. For larger
    images it is ``mnist`` again: at 224 pixels its code is 10×14×14, that of ``cars`` would be 10×53×53.
    """
    largest, smallest = max(image.height, image.width), min(image.height, image.width)
    cars = 40 < largest <= 96 and smallest >= smallest_side(2, kernel=5, padding=0)
    return "cars" if cars else "mnist"


def build_autoencoder(architecture: str, image: ImageSpec, relu: bool) -> Autoencoder:
    """Make one of the paper's autoencoders, of section 3.1 (``mnist``) or 4 (``cars``).

    Args:
        architecture: ``mnist``, ``cars``, or ``auto`` for the one that fits the images.
        image: size and channels of the images.
        relu: whether ``mnist`` has ReLU in place of the sigmoid, as in the authors' code.
    """
    if (choose_architecture(image) if architecture == "auto" else architecture) == "cars":
        return Autoencoder(image, (32, 10), 5, 0, partial(nn.LeakyReLU, LEAK), nn.Sigmoid)
    # Zeros on all sides: TensorFlow's "same" padding has them only right and below if the side is even.
    unit = nn.ReLU if relu else nn.Sigmoid
    return Autoencoder(image, (32, 32, 32, 10), 3, 1, unit, unit)


def initialise_convolutions(module: nn.Module, released: bool) -> None:
    """Initialise convolutions as the authors' code, or with larger weights, which eight sigmoid layers need."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            if released:
                nn.init.normal_(layer.weight, std=0.01)
            else:
                nn.init.xavier_uniform_(layer.weight, gain=4.0)  # Glorot and Bengio's bound for sigmoids
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
