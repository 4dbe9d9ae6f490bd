"""Options of the encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.options import option

ENCODER = "timm name, torchvision/NAME, small (a compact CNN), or package.module:function"
WEIGHTS = "none, pretrained (ImageNet, downloaded), or a file of weights"
STEMS = ("auto", "standard", "small")
CUT = "name of the layer whose output is the latent map (only for your own module)"


@dataclass
class EncoderConfig:
    """The encoder and where its weights come from."""

    group: ClassVar[str] = "model"

    encoder: str = option("resnet18", ENCODER)
    weights: str = option("none", WEIGHTS)
    stem: str = option(
        "auto",
        "ResNet stem: standard, small (3x3, stride 1, no max pooling), or auto (small for images under 64 pixels)",
        choices=STEMS,
    )
    cut: str | None = option(None, CUT)
    freeze_encoder: bool = option(
        False, "do not train the encoder, only what follows it; its latents are computed once and kept"
    )
