"""The stem for small images: a 3×3 convolution of stride 1, no max-pool, so that the map keeps its cells."""

from __future__ import annotations

from typing import Any

from torch import nn

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec

SMALL_IMAGE = 64


def is_resnet(network: nn.Module) -> bool:
    """Whether a network is a ResNet (ResNeXt, SE-ResNet, Wide ResNet too) of timm or torchvision."""
    from timm.models.resnet import ResNet
    from torchvision.models.resnet import ResNet as TorchvisionResNet

    return isinstance(network, ResNet | TorchvisionResNet)


def wants_small_stem(network: nn.Module, name: str, stem: str, weights: str, image: ImageSpec) -> bool:
    """Decide on the stem.

    ``auto`` takes the small one for ResNets on images with a side under 64 pixels, except for weights
    "pretrained", which were trained with the standard one. The decision needs no weights at hand, so
    that a stored model finds its stem again.

    Raises:
        UserError: if the small stem is asked of a network that has none.
    """
    if stem not in ("auto", "standard", "small"):
        raise UserError(f"stem {stem!r} is not offered; choose auto, standard or small")
    if stem == "small" and not is_resnet(network):
        raise UserError(
            f"encoder {name} has no small stem; --stem small is for the ResNets of timm and torchvision "
            "(resnet18, resnet34, torchvision/resnet18, ...); encoder small needs none"
        )
    if stem == "auto":
        return is_resnet(network) and weights != "pretrained" and min(image.size) < SMALL_IMAGE
    return stem == "small"


def use_small_stem(network: Any) -> str:
    """Replace a ResNet's stem; returns the name of the one convolution that is new.

    The deep stems (resnet50d) keep their three convolutions and lose the stride of the first.
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
