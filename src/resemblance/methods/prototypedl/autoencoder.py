"""Convolutional autoencoders whose decoder mirrors the encoder, for images of any size and channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec

Activation = Callable[[], nn.Module]
STRIDE = 2


class Autoencoder(nn.Module):
    """Strided convolutions down to a code, strided transposed convolutions back to the image's exact size.

    Each transposed convolution pads its output by the row or column that the rounding of its mirror image in
    the encoder lost, so odd and oblong images come back at their size. Weights are not tied.

    Args:
        image: size and channels of the images.
        widths: channels after each layer of the encoder; the last is the code's.
        kernel: side of all kernels.
        padding: zeros around the input of each convolution.
        hidden: the nonlinearity between layers, in encoder and decoder.
        code: the nonlinearity of the code.

    Attributes:
        code_shape: (D, h, w) of the code.

    Raises:
        UserError: if nothing is left of so small an image.

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
            lost = (
                size[0] - _grown(smaller[0], kernel, padding),
                size[1] - _grown(smaller[1], kernel, padding),
            )
            last = len(down) // 2 == len(widths) - 1
            down += [nn.Conv2d(channels, width, kernel, STRIDE, padding), code() if last else hidden()]
            mirror = nn.ConvTranspose2d(width, channels, kernel, STRIDE, padding, output_padding=lost)
            up = [mirror, hidden() if up else nn.Sigmoid(), *up]
            channels, size = width, smaller
        self.encoder = nn.Sequential(*down)
        self.decoder = nn.Sequential(*up)
        self.code_shape = (channels, *size)

    @property
    def code_length(self) -> int:
        """Numbers in a code, D·h·w."""
        return math.prod(self.code_shape)

    def encode(self, images: Tensor) -> Tensor:
        """Codes (B, D, h, w) of images (B, C, H, W) in [0, 1]."""
        codes: Tensor = self.encoder(images)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of codes (B, D, h, w) or flattened (B, D·h·w)."""
        images: Tensor = self.decoder(codes.reshape(-1, *self.code_shape))
        return images


def _shrunk(side: int, kernel: int, padding: int) -> int:
    return (side + 2 * padding - kernel) // STRIDE + 1


def _grown(side: int, kernel: int, padding: int) -> int:
    return (side - 1) * STRIDE + kernel - 2 * padding


def smallest_side(layers: int, kernel: int, padding: int) -> int:
    """The smallest image side of which ``layers`` strided convolutions leave at least one cell.

    Example:
        >>> smallest_side(2, kernel=5, padding=0)
        13
    """
    side = 1
    for _ in range(layers):
        side = max(_grown(side, kernel, padding), 1)
    return side
