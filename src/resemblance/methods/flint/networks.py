"""The networks of FLINT (Parekh et al. 2021): predictors f, attribute functions Φ and decoders d.

A predictor returns its logits and the hidden layers ("taps") that the interpreter reads.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.build import Encoder

LogitsAndTaps = tuple[Tensor, tuple[Tensor, ...]]

POOLED = 3  # Φ averages its maps to 3×3 cells
WIDTH = 64  # channels of Φ
# The largest side, in pixels, for the ResNet's decoders, which end in a dense layer over all pixels.
DENSE_UP_TO = 40


class MnistPredictor(nn.Module):
    """Two convolutions and two linear layers; tapped after the convolutions.

    Args:
        image: size and channels of the images; each side has 4 to 256 pixels.
        classes: C.

    Raises:
        UserError: for other sizes.
    """

    def __init__(self, image: ImageSpec, classes: int) -> None:
        super().__init__()
        if min(image.size) < 4 or max(image.size) > 256:
            raise UserError(
                f"--encoder mnist needs images with sides of 4 to 256 pixels, not {image.height}x{image.width}; "
                "use --encoder resnet18 or another --image-size"
            )
        self.taps = (32,)
        self.features = nn.Sequential(
            nn.Conv2d(image.channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.MaxPool2d(2),
            nn.Dropout(0.5),
            nn.ReLU(),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(32 * (image.height // 2) * (image.width // 2), 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, classes),
        )

    def forward(self, images: Tensor) -> LogitsAndTaps:
        """Compute logits (B, C) and the tapped map (B, 32, H/2, W/2)."""
        hidden = self.features(images)
        return self.classifier(hidden), (hidden,)


class _Block(nn.Module):
    """A residual block without batch norm and without biases."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply both convolutions and add the shortcut."""
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


class ResNetPredictor(nn.Module):
    """ResNet-18 for small images: 3×3 stem of stride 1, no batch norm, two linear layers at the end.

    Tapped after the third stage and after the first block of the fourth.

    Args:
        image: size and channels of the images; each side has at least 8 pixels.
        classes: C.

    Raises:
        UserError: for smaller images.
    """

    def __init__(self, image: ImageSpec, classes: int) -> None:
        super().__init__()
        if min(image.size) < 8:
            raise UserError(
                f"--encoder resnet needs images with sides of at least 8 pixels, not {image.height}x{image.width}; "
                "use --encoder mnist or another --image-size"
            )
        self.taps = (256, 512)
        self.stem = nn.Sequential(nn.Conv2d(image.channels, 64, 3, 1, 1, bias=False), nn.ReLU())
        stages = [
            nn.Sequential(_Block(inputs, outputs, 1 if outputs == 64 else 2), _Block(outputs, outputs, 1))
            for inputs, outputs in pairwise((64, 64, 128, 256, 512))
        ]
        self.early = nn.Sequential(*stages[:3])
        self.late = stages[3]
        self.classifier = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, classes))

    def forward(self, images: Tensor) -> LogitsAndTaps:
        """Compute logits (B, C) and the tapped maps, of 256 and 512 channels."""
        third = self.early(self.stem(images))
        fourth = self.late[0](third)
        # The authors' code has a 4×4 average pool, which is the whole map for its images of 28 and 32 pixels.
        pooled = self.late[1](fourth).mean(dim=(2, 3))
        return self.classifier(pooled), (third, fourth)


class EncoderPredictor(nn.Module):
    """Any encoder with a linear classifier; its map is tapped.

    Args:
        encoder: an encoder without classifier.
        classes: C.
    """

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.taps = (encoder.channels,)
        self.encoder = encoder
        self.classifier = nn.Linear(encoder.embedding, classes)

    def forward(self, images: Tensor) -> LogitsAndTaps:
        """Compute logits (B, C) and the map (B, D, h, w)."""
        features = self.encoder.features(images)
        return self.classifier(self.encoder.embed(features)), (self.encoder.map(features),)


Predictor = MnistPredictor | ResNetPredictor | EncoderPredictor


class Magnitude(nn.Module):
    """|LeakyReLU|: not negative and nowhere constant, so that every attribute keeps a gradient.

    Example:
        >>> Magnitude()(torch.tensor([-2.0, 0.0, 3.0]))
        tensor([0.0200, 0.0000, 3.0000])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to each element."""
        return F.leaky_relu(x).abs()


class Attributes(nn.Module):
    """Φ, which computes J attributes from the tapped layers.

    Args:
        taps: channels of each tapped layer, one or two; the second has half the resolution of the first.
        count: J.
        hidden: nonlinearity after the convolutions.
        last: nonlinearity of the attributes.
    """

    def __init__(self, taps: tuple[int, ...], count: int, hidden: nn.Module, last: nn.Module) -> None:
        super().__init__()
        strides = (1,) if len(taps) == 1 else (2, 1)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, WIDTH, 3, stride, 1) for channels, stride in zip(taps, strides, strict=True)
        )
        self.joined = nn.Conv2d(len(taps) * WIDTH, WIDTH, 3, 1, 1) if len(taps) > 1 else None
        self.pool = nn.AdaptiveAvgPool2d(POOLED)
        self.linear = nn.Linear(WIDTH * POOLED * POOLED, count)
        self.hidden, self.last = hidden, last

    def forward(self, taps: tuple[Tensor, ...]) -> Tensor:
        """Compute Φ (B, J) from the tapped maps."""
        parts = [self.hidden(layer(tap)) for layer, tap in zip(self.convolutions, taps, strict=True)]
        maps = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        if self.joined is not None:
            maps = self.hidden(self.joined(maps))
        attributes: Tensor = self.last(self.linear(self.pool(maps).flatten(1)))
        return attributes


class Decoder(nn.Module):
    """d: a linear layer, then transposed convolutions of stride 2 up to the exact size of the image.

    Args:
        count: J.
        image: size and channels of the images.
        widths: channels at the start and after each transposed convolution; the last are those of the image unless
            ``dense``.
        dense: whether to end with a linear layer from all pixels to all pixels.
        last: nonlinearity of the image.
    """

    def __init__(
        self, count: int, image: ImageSpec, widths: tuple[int, ...], dense: bool, last: nn.Module
    ) -> None:
        super().__init__()
        sizes = [image.size]
        for _ in widths[1:]:
            sizes.insert(0, (-(-sizes[0][0] // 2), -(-sizes[0][1] // 2)))
        self.shape = (widths[0], *sizes[0])
        self.linear = nn.Linear(count, widths[0] * sizes[0][0] * sizes[0][1])
        layers: list[nn.Module] = []
        for (inputs, outputs), (small, large) in zip(pairwise(widths), pairwise(sizes), strict=True):
            padding = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
            layers += [nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=padding), nn.ReLU()]
        if dense:
            pixels = image.height * image.width
            shape = (image.channels, *image.size)
            layers += [nn.Flatten(), nn.Linear(widths[-1] * pixels, image.channels * pixels)]
            layers += [last, nn.Unflatten(1, shape)]
        else:
            layers[-1] = last
        self.layers = nn.Sequential(*layers)

    def forward(self, attributes: Tensor) -> Tensor:
        """Decode attributes (B, J) to images (B, C, H, W) as the predictor reads them."""
        images: Tensor = self.layers(self.linear(attributes).unflatten(1, self.shape))
        return images


def choose_predictor(image: ImageSpec) -> str:
    """Return the predictor for images of this size: the paper's up to 40 pixels, timm's resnet18 above.

    Example:
        >>> choose_predictor(ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        'mnist'
    """
    if max(image.size) > DENSE_UP_TO or min(image.size) < 8:
        return "mnist" if min(image.size) < 8 else "resnet18"
    return "mnist" if image.channels == 1 else "resnet"


def build_decoder(name: str, count: int, image: ImageSpec) -> Decoder:
    """Make the decoder that belongs to a predictor.

    For large images, the dense layers of the ResNet's decoders would have billions of weights: for these, and for other
    encoders, the decoder has transposed convolutions only.

    Args:
        name: ``mnist``, ``resnet``, or any other encoder.
        count: J.
        image: size and channels.
    """
    if name == "mnist":
        return Decoder(count, image, (2, 8, image.channels), False, nn.ReLU())
    if name == "resnet" and max(image.size) <= DENSE_UP_TO:
        grey = image.channels == 1
        last = nn.ReLU() if grey else nn.Identity()
        return Decoder(count, image, (2, 4, 8) if grey else (10, 24, 8), True, last)
    layers = max(2, (max(image.size) - 1).bit_length() - 3)  # 32 → 2, 64 → 3, 224 → 5
    widths = (*(max(128 >> i, 8) for i in range(layers)), image.channels)
    return Decoder(count, image, widths, False, nn.Identity())
