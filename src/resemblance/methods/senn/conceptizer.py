"""The networks of SENN: an autoencoder for the concepts, and a network for their relevances."""

from __future__ import annotations

from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec

KERNEL = 5
SMALLEST = 16  # smallest side, in pixels, for two convolutions of 5×5 with pooling
SMALLEST_VGG = 32  # smallest side, in pixels, for five poolings
LARGEST = 200_000_000  # largest number of weights of one linear layer
VGG = {  # channels of the convolutions between two poolings
    "vgg8": ((64,), (128,), (256,), (512,), (512,)),
    "vgg11": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "vgg16": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
}


def cells(side: int) -> int:
    """Return the cells per side after two 5×5 convolutions, each followed by pooling by two.

    Example:
        >>> cells(28), cells(32), cells(16)
        (4, 5, 1)
    """
    return ((side - KERNEL + 1) // 2 - KERNEL + 1) // 2


def check_size(image: ImageSpec, smallest: int = SMALLEST) -> None:
    """Refuse images that are too small.

    Raises:
        UserError: if they are, with the smallest size.
    """
    if min(image.size) < smallest:
        raise UserError(
            f"images of {image.height}x{image.width} pixels are too small for these convolutions; "
            f"use --image-size {smallest} or more"
        )


class Conceptizer(nn.Module):
    """An autoencoder whose code is the scalar concepts h(x).

    A linear layer that all concepts share converts each map of the second convolution to one number. The decoder
    converts it back to a map. Each transposed convolution pads its output by the rows and columns that the encoder
    lost by rounding, so that reconstructions have the size of the images.

    Args:
        image: size and channels of the images.
        concepts: K.

    Raises:
        UserError: for images with sides below 16 pixels.

    Example:
        >>> import torch
        >>> image = ImageSpec(33, 47, 3, (0.0,) * 3, (1.0,) * 3)
        >>> conceptizer = Conceptizer(image, 20)
        >>> h = conceptizer.encode(torch.rand(2, 3, 33, 47))
        >>> h.shape, conceptizer.decode(h).shape
        (torch.Size([2, 20]), torch.Size([2, 3, 33, 47]))
    """

    def __init__(self, image: ImageSpec, concepts: int) -> None:
        super().__init__()
        check_size(image)
        self.grid = (cells(image.height), cells(image.width))
        count = self.grid[0] * self.grid[1]
        self.encoder = nn.Sequential(
            nn.Conv2d(image.channels, 10, KERNEL),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(10, concepts, KERNEL),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(2),
            nn.Linear(count, 1),
            nn.Flatten(),
        )
        padding = [side - 4 * cells(side) - 12 for side in image.size]
        early, late = ((padding[0] // 2, padding[1] // 2), (padding[0] % 2, padding[1] % 2))
        self.spread = nn.Linear(1, count)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(concepts, 16, KERNEL, stride=2, output_padding=early),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 8, KERNEL),
            nn.ReLU(),
            nn.ConvTranspose2d(8, image.channels, 2, stride=2, padding=1, output_padding=late),
            nn.Tanh(),
        )

    def encode(self, images: Tensor) -> Tensor:
        """Compute the concepts h(x), (B, K), of images (B, C, H, W)."""
        concepts: Tensor = self.encoder(images)
        return concepts

    def decode(self, concepts: Tensor) -> Tensor:
        """Decode concepts (B, K) to images (B, C, H, W) in (−1, 1)."""
        images: Tensor = self.decoder(self.spread(concepts[:, :, None]).unflatten(2, self.grid))
        return images


def build_parametrizer(kind: str, image: ImageSpec, outputs: int) -> nn.Sequential:
    """Make the network of the relevances, images (B, C, H, W) to (B, outputs), before dropout and tanh or sigmoid.

    Args:
        kind: ``cnn``, like the conceptizer's encoder but with dropout of whole maps, or a VGG with batch norm.
        image: size and channels of the images.
        outputs: K · classes.

    Raises:
        UserError: if images are too small, or the linear layer would have more than 200 million weights.

    Example:
        >>> import torch
        >>> image = ImageSpec(28, 28, 1, (0.0,), (1.0,))
        >>> build_parametrizer("cnn", image, 200)(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 200])
    """
    if kind != "cnn":
        return _vgg(VGG[kind], image, outputs)
    check_size(image)
    inputs = 20 * cells(image.height) * cells(image.width)
    if inputs * outputs > LARGEST:
        raise UserError(
            f"the parametrizer's last layer would have {inputs * outputs:,} weights for images of "
            f"{image.height}x{image.width} pixels; use --parametrizer vgg8, a smaller --image-size "
            "or fewer --concepts"
        )
    return nn.Sequential(
        nn.Conv2d(image.channels, 10, KERNEL),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(10, 20, KERNEL),
        nn.Dropout2d(0.5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(inputs, outputs),
    )


def _vgg(widths: tuple[tuple[int, ...], ...], image: ImageSpec, outputs: int) -> nn.Sequential:
    """Make a VGG for small images, with batch norm; the last map is averaged, so that images can have any size."""
    check_size(image, SMALLEST_VGG)
    layers: list[nn.Module] = []
    channels = image.channels
    for block in widths:
        for width in block:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    layers += [nn.Linear(512, 256), nn.ReLU(), nn.Dropout(0.5)]
    layers += [nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, outputs)]
    return nn.Sequential(*layers)
