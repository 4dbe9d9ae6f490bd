"""The stages of an encoder, and which of them are trained first."""

from __future__ import annotations

from torch import nn

from resemblance.config.errors import UserError
from resemblance.encoders.base import Encoder
from resemblance.encoders.stem import is_resnet


def stages_of(encoder: Encoder) -> list[list[nn.Module]]:
    """Return the stages after the first, each of which halves the map, with the layers that halve it.

    The list is empty for encoders that are neither ResNets nor ConvNeXts.
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
    """Return the parameters that are trained from the start, and those that are trained later; others never are.

    As in PIP-Net's code: of a ConvNeXt the last stage, then all; of a ResNet layers 3 and 4, then layer 2, and never
    the layers before. Other encoders, and those without pretrained weights, are trained from the start.

    Args:
        encoder: any encoder.
        pretrained: whether it has pretrained weights.
        layers: names, separated by commas, of the layers to train from the start instead.

    Raises:
        UserError: if the encoder does not have these layers.
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
