"""The convolutional encoders and decoders of ProtoVAE, for images of any size and channels.

Each stage of the encoder halves the image, rounding down; each stage of the decoder doubles it, and restores the row
and column that the corresponding stage of the encoder lost by rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from resemblance.config.image import ImageSpec

FIRST, WIDEST = 32, 256  # channels of the first stage, and the most; they double in between
BOUND = 0.08  # of the uniform initial weights


def halvings(image: ImageSpec, coarsest: int) -> list[tuple[int, int]]:
    """Return the sizes from the image down to a map with no side above ``coarsest``, or of one row or column.

    Example:
        >>> halvings(ImageSpec(28, 28, 1, (0.0,), (1.0,)), 7)
        [(28, 28), (14, 14), (7, 7)]
    """
    sizes = [image.size]
    while max(sizes[-1]) > coarsest and min(sizes[-1]) > 1:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def stage_widths(stages: int) -> list[int]:
    """Return the channels after each stage of the encoder.

    Example:
        >>> stage_widths(5)
        [32, 64, 128, 256, 256]
    """
    return [min(FIRST << stage, WIDEST) for stage in range(stages)]


def encoder(image: ImageSpec, stages: int, strided: bool) -> nn.Sequential:
    """Make stages of convolution, ReLU and batch norm, then average pooling or, if ``strided``, a strided convolution.

    Example:
        >>> image = ImageSpec(28, 28, 1, (0.0,), (1.0,))
        >>> encoder(image, 2, strided=False)(torch.rand(5, 1, 28, 28)).shape
        torch.Size([5, 3136])
    """
    layers: list[nn.Module] = []
    channels = image.channels
    for width in stage_widths(stages):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(width)]
        if strided:
            layers += [nn.Conv2d(width, width, 4, 2, padding=1), nn.ReLU(), nn.BatchNorm2d(width)]
        else:
            layers += [nn.AvgPool2d(2)]
        channels = width
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            uniform(layer)
    return nn.Sequential(*layers, nn.Flatten())


def addon(inputs: int, latent: int) -> nn.Sequential:
    """Make the fully connected layers from features (B, inputs) to (B, 2·latent), mean and log-variance of z."""
    layers = [nn.Linear(inputs, 2 * latent), nn.ReLU(), nn.Linear(2 * latent, 2 * latent)]
    for layer in layers[::2]:
        uniform(layer)
    return nn.Sequential(*layers)


class Decoder(nn.Module):
    """A network from z (B, D) to images (B, C, H, W) in [−1, 1].

    Args:
        sizes: from that of the image to that of the first map, as `halvings` returns them.
        channels: number of channels of the images.
        latent: D.
        late: whether rows and columns lost by rounding are restored in the last stage only, by a wider padding, as in
            the paper's decoder for QuickDraw (3 → 6 → 12, padded to 14, → 28), or in each stage (3 → 7 → 14 → 28).

    Example:
        >>> Decoder([(28, 28), (14, 14), (7, 7), (3, 3)], 1, 512, late=True)(torch.rand(2, 512)).shape
        torch.Size([2, 1, 28, 28])
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], channels: int, latent: int, late: bool) -> None:
        super().__init__()
        stages = len(sizes) - 1
        widths = stage_widths(stages) or [FIRST]
        self.start = (widths[-1], *sizes[-1])
        count = widths[-1] * sizes[-1][0] * sizes[-1][1]
        self.full = nn.Sequential(nn.Linear(latent, count), nn.ReLU(), nn.BatchNorm1d(count))
        layers: list[nn.Module] = []
        width, size = widths[-1], sizes[-1]
        for stage in range(stages):
            narrower = widths[stages - 2 - stage] if stage < stages - 1 else FIRST
            goal = sizes[stages - 1 - stage]
            if late and stage < stages - 1:
                goal = (2 * size[0], 2 * size[1])
            missing = (goal[0] // 2 - size[0], goal[1] // 2 - size[1])
            # Pad above, below, left and right, so that the convolution, which has no padding, returns goal / 2.
            above, left = 1 + missing[0] // 2, 1 + missing[1] // 2
            margins = (left, 2 + missing[1] - left, above, 2 + missing[0] - above)
            layers += [
                nn.ZeroPad2d(margins),
                nn.Conv2d(width, narrower, 3),
                nn.ReLU(),
                nn.BatchNorm2d(narrower),
            ]
            odd = (goal[0] % 2, goal[1] % 2)
            layers += [nn.ConvTranspose2d(narrower, narrower, 4, 2, padding=1, output_padding=odd)]
            layers += [nn.ReLU(), nn.BatchNorm2d(narrower)]
            width, size = narrower, goal
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))
        uniform(self.full[0])
        for layer in self.layers:
            if isinstance(layer, nn.ConvTranspose2d):
                uniform(layer)
            elif isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Decode z; in training mode with the statistics of the batch."""
        return torch.tanh(self.layers(self.full(z).reshape(-1, *self.start)))


def uniform(layer: nn.Module) -> None:
    """Initialise weights uniformly between −0.08 and 0.08 and biases with 0, as in the authors' code."""
    assert isinstance(layer.weight, Tensor)
    assert isinstance(layer.bias, Tensor)
    nn.init.uniform_(layer.weight, -BOUND, BOUND)
    nn.init.zeros_(layer.bias)
