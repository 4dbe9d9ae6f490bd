"""Add-on layers between the encoder's map and the prototypes."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from resemblance.config.errors import UserError

KINDS = ("regular", "bottleneck", "none")


class AddOn(nn.Sequential):
    """Layers from the encoder's map (B, channels, h, w) to the prototypes' depth, (B, depth, h, w).

    "regular" is a 1×1 convolution to ``depth``, ReLU, a 1×1 convolution, sigmoid. "bottleneck" halves the
    channels with pairs of 1×1 convolutions until ``depth``; a ReLU follows each convolution but the last,
    which has a sigmoid. "none" is the identity and keeps the channels as they are. Weights are Kaiming
    normal (fan out), biases zero. Source: Chen et al. 2019, section 2.1, and the authors' code.

    Args:
        kind: one of ``KINDS``.
        channels: channels of the encoder's map.
        depth: channels of a prototype; ignored for "none".

    Attributes:
        channels: channels of the result.

    Raises:
        UserError: if the kind is unknown.

    Example:
        >>> AddOn("regular", 512, 128)
        AddOn(
          (0): Conv2d(512, 128, kernel_size=(1, 1), stride=(1, 1))
          (1): ReLU()
          (2): Conv2d(128, 128, kernel_size=(1, 1), stride=(1, 1))
          (3): Sigmoid()
        )
    """

    def __init__(self, kind: str, channels: int, depth: int) -> None:
        if kind not in KINDS:
            raise UserError(f"there are no add-on layers {kind!r}; choose {', '.join(KINDS)}")
        widths = [channels]
        if kind != "none":
            widths = halving(channels, depth) if kind == "bottleneck" else [channels, depth, depth]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            convolution = nn.Conv2d(inputs, outputs, kernel_size=1)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU()]
        if layers:
            layers[-1] = nn.Sigmoid()
        super().__init__(*layers)
        self.channels = widths[-1]


def halving(channels: int, depth: int) -> list[int]:
    """Return the channels between the bottleneck's convolutions: two per halving, at least one pair.

    Example:
        >>> halving(512, 128)
        [512, 256, 256, 128, 128]
    """
    widths, current = [channels], channels
    while True:
        following = max(depth, current // 2)
        widths += [following, following]
        if following == depth:
            return widths
        current = following
