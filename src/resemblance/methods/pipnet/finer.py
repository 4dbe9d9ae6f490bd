"""Finer maps: the last stages of a ResNet or ConvNeXt at stride 1."""

from __future__ import annotations

from torch import nn

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.base import Encoder
from resemblance.methods.pipnet.stages import stages_of

STRIDE = 8  # pixels per cell in PIP-Net's encoders


def make_finer(encoder: Encoder, image: ImageSpec, stages: int | None) -> None:
    """Remove the stride of the last stages, in place; weights do not change.

    Args:
        encoder: a ResNet or ConvNeXt of timm or torchvision, or any other for ``stages`` 0 or None.
        image: size and channels of the images that it will read.
        stages: number of stages; None for as many as leave 8 pixels or more per cell, at most 2.

    Raises:
        UserError: for encoders without these stages, or whose stages do not halve the map by strides.
    """
    available = stages_of(encoder)
    if stages is None:
        cell = max(image.height / encoder.grid[0], image.width / encoder.grid[1])
        stages = 0 if not available else sum(cell / 2**count >= 0.75 * STRIDE for count in (1, 2))
    if stages == 0:
        return
    if stages > len(available):
        raise UserError(
            f"encoder {encoder.name} cannot have {stages} finer stages; "
            f"{'its last 3 can' if available else 'that is for the ResNets and ConvNeXts of timm and torchvision'}"
        )
    for module in [part for stage in available[-stages:] for root in stage for part in root.modules()]:
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (1, 1)
        elif isinstance(module, nn.AvgPool2d) and module.stride in (2, (2, 2)):
            module.kernel_size = module.stride = 1
    before, encoder.grid = encoder.grid, encoder.map_size(image)
    # Without stride, a convolution of 2×2 as in ConvNeXts loses a row and a column.
    if any(new + 2 < old * 2**stages * 0.85 for new, old in zip(encoder.grid, before, strict=True)):
        raise UserError(f"encoder {encoder.name} does not halve its map by strides alone; use --finer 0")
