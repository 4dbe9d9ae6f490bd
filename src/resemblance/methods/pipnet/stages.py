"""The stages of an encoder: which there are, and which of them train first."""

from __future__ import annotations

from torch import nn

from resemblance.config.errors import UserError
from resemblance.encoders.base import Encoder
from resemblance.encoders.stem import is_resnet


def stages_of(encoder: Encoder) -> list[list[nn.Module]]:
    """The stages after the first, each of which halves the map, with what comes before them to do so.

    Empty for encoders that are neither ResNets nor ConvNeXts.
    """
    from timm.models.convnext import ConvNeXt
    from torchvision.models.convnext import ConvNeXt as TorchvisionConvNeXt

    for module in encoder.modules():
        if is_resnet(module):
            return [[module.get_submodule(f"layer{number}")] for number in (2, 3, 4)]
        if isinstance(module, ConvNeXt):
            return [[module.get_submodule(f"stages.{number}")] for number in (1, 2, 3)]
        if isinstance(module, TorchvisionConvNeXt):
            parts = [[f"features.{number}", f"features.{number + 1}"] for number in (2, 4, 6)]
            return [[module.get_submodule(name) for name in names] for names in parts]
    return []


def first_and_later(
    encoder: Encoder, pretrained: bool, layers: str | None = None
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """What of an encoder trains from the start, and what later; the rest of it never does.

    PIP-Net's lists: of a ConvNeXt the last stage, then all; of a ResNet layers 3 and 4, then 2, and never what is
    before. Other encoders, and those without weights to keep, train from the start.

    Args:
        encoder: any.
        pretrained: whether it has weights to keep.
        layers: names, separated by commas, of what trains from the start instead.

    Raises:
        UserError: for layers that the encoder has not.
    """
    named = list(encoder.named_parameters())
    if not pretrained:
        return [parameter for _, parameter in named], []
    stages, resnet = stages_of(encoder), any(is_resnet(module) for module in encoder.modules())
    if layers is not None:
        names = [name.strip() for name in layers.split(",")]
        for layer in names:
            if not any(f".{layer}." in f".{name}" for name, _ in named):
                raise UserError(f"encoder {encoder.name} has no layer {layer!r} for --free-layers")
        first = {id(p) for name, p in named if any(f".{layer}." in f".{name}" for layer in names)}
    elif stages:
        last = stages[-2:] if resnet else stages[-1:]
        first = {id(p) for stage in last for part in stage for p in part.parameters()}
    else:
        first = {id(p) for _, p in named}
    later = {id(p) for _, p in named}
    if resnet:
        later = {id(p) for stage in stages for part in stage for p in part.parameters()}
    return [p for _, p in named if id(p) in first], [p for _, p in named if id(p) in later - first]
