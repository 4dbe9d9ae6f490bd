"""The stem for small images: a 3×3 convolution of stride 1 without max-pool, so that the map has enough cells."""

from __future__ import annotations

from typing import Any

from torch import nn

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec

SMALL_IMAGE = 64


def is_resnet(network: nn.Module) -> bool:
    """Check whether a network is a ResNet (or ResNeXt, SE-ResNet, Wide ResNet) of timm or torchvision."""
    from timm.models.resnet import ResNet
    from torchvision.models.resnet import ResNet as TorchvisionResNet

    return isinstance(network, ResNet | TorchvisionResNet)


def has_large_stem(encoder: nn.Module) -> bool:
    """Check whether an encoder is a ResNet whose stem divides the image by 4."""
    resnets = [module for module in encoder.modules() if is_resnet(module)]
    return any(not isinstance(network.maxpool, nn.Identity) for network in resnets)


def wants_small_stem(network: nn.Module, name: str, stem: str, weights: str, image: ImageSpec) -> bool:
    """Decide whether to use the small stem.

    ``auto`` uses it for ResNets on images with a side under 64 pixels, except with weights "pretrained", which were
    trained with the standard stem. The decision does not depend on the weights file, so that a saved model is built
    with the same stem.

    Raises:
        UserError: if the small stem is requested for a network that has none.
    """
    if stem not in ("auto", "standard", "small"):
        raise UserError(f"there is no stem {stem!r}; choose auto, standard or small")
    if stem == "small" and not is_resnet(network):
        raise UserError(
            f"encoder {name} has no small stem; --stem small is for the ResNets of timm and torchvision "
            "(resnet18, resnet34, torchvision/resnet18, ...); encoder small needs none"
        )
    if stem == "auto":
        return is_resnet(network) and weights != "pretrained" and min(image.size) < SMALL_IMAGE
    return stem == "small"


def use_small_stem(network: Any) -> str:
    """Replace a ResNet's stem by the small one; return the name of the new convolution, if there is one.

    Deep stems (resnet50d) keep their three convolutions, without the stride of the first.
    """
    first: Any = network.conv1
    if isinstance(first, nn.Sequential):
        first[0].stride = (1, 1)  # type: ignore[assignment]
        new = ""
    else:
        network.conv1 = nn.Conv2d(first.in_channels, first.out_channels, 3, 1, 1, bias=first.bias is not None)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        new = "conv1"
    network.maxpool = nn.Identity()
    return new
