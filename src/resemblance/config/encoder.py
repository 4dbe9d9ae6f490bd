"""Which encoder a method stands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.options import option


@dataclass
class EncoderConfig:
    """The encoder and where its weights come from."""

    group: ClassVar[str] = "model"

    encoder: str = option(
        "resnet18", "timm name, torchvision/NAME, small (a compact CNN), or package.module:function"
    )
    weights: str = option("none", "none, pretrained (ImageNet, downloaded), or a file of weights")
    stem: str = option(
        "auto",
        "ResNet stem: standard, small (3x3, stride 1, no max-pool), or auto (small under 64 px)",
        choices=("auto", "standard", "small"),
    )
    cut: str | None = option(None, "name of the layer whose output is the latent map (own modules only)")
