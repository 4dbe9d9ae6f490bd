"""Configuration of PIP-Net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.method import MethodConfig
from resemblance.config.options import option
from resemblance.config.words import Words

VIEW_COLOURS = ("birds", "cars")


@dataclass
class PIPNetConfig(EncoderConfig, MethodConfig):
    """Channels of the encoder as parts, and a scoring sheet with few nonzero weights."""

    name: ClassVar[str] = "pipnet"
    model: ClassVar[str] = "resemblance.methods.pipnet.model:PIPNet"
    line: ClassVar[str] = (
        "channels of the encoder as parts, present or not, on a sparse scoring sheet; may abstain"
    )
    citation: ClassVar[str] = (
        "Nauta, Schlötterer, van Keulen, Seifert: PIP-Net: Patch-Based Intuitive Prototypes for Interpretable Image "
        "Classification. CVPR 2023"
    )
    words: ClassVar[Words] = Words(
        similarity="presence",
        rivals=False,
        counted="a prototype's share of all the times that one is present in a training image",
        about=(
            "are channels of the network that represent parts, shown by the training images in which they are most "
            "present. A part that is present gives points to classes; if no part is present, the model gives no answer."
        ),
        similarity_says="how certain it is that some patch of the image is that part, from 0 to 1; below 0.1 it "
        "counts as absent",
        weight_says="how many points it gives to the class",
        box_says="is the patch at the brightest place",
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    prototypes: int | None = option(
        None,
        "number of prototypes, which needs one more layer (default: one per channel of the encoder, without it)",
        least=1,
    )
    finer: int | None = option(
        None,
        "number of last stages of a ResNet or ConvNeXt that lose their stride, for a finer map: up to 3 "
        "(default: until cells have 8 pixels, at most 2)",
        least=0,
    )
    free_layers: str | None = option(
        None,
        "layers of a trained encoder that train from the start, separated by commas (default: the last two stages of a "
        "ResNet, the last one of a ConvNeXt, otherwise all)",
    )
    least_presence: float = option(
        0.1, "presence below which a part counts as absent, except in training", least=0, most=1
    )
    align: float = option(5.0, "weight of the agreement between the two views of an image", least=0.0)
    tanh: float = option(
        2.0, "weight of the term that favours parts present in some image of each batch", least=0.0
    )
    classification: float = option(2.0, "weight of the classification loss", least=0.0)
    view_strength: float = option(
        1.0, "difference in colour between the two views, from 0 to 1", least=0, most=1
    )
    view_colours: str = option(
        "birds",
        "how the two views differ in colour: hardly in saturation (birds), or much, and also solarised (cars)",
        choices=VIEW_COLOURS,
    )
    view_shift: int | None = option(
        None, "largest shift between the two views, in pixels (default: 4 per 224, at least 1)", least=0
    )
    rate: float = option(5e-4, "learning rate of the encoder (in the paper also 1e-4)", above=0)
    pretrain_epochs: int = option(10, "epochs of learning parts, without classes", least=0)
    head_epochs: int = option(3, "epochs of learning only the weights of the scoring sheet", least=0)
    frozen_epochs: int = option(
        7, "epochs of learning weights and parts, before all layers of a trained encoder train", least=0
    )
    joint_epochs: int = option(50, "epochs of training everything", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.free_layers is not None and self.from_scratch:
            raise UserError(
                "--free-layers needs an encoder with weights; without weights, all of its layers train"
            )

    @property
    def classified_epochs(self) -> int:
        """The number of epochs with classes, after pretraining."""
        return self.head_epochs + self.frozen_epochs + self.joint_epochs
