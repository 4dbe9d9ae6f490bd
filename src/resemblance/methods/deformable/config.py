"""Configuration of Deformable ProtoPNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.errors import UserError
from resemblance.config.options import option
from resemblance.methods.weighted_parts.config import WeightedPartsConfig


@dataclass
class DeformableConfig(WeightedPartsConfig):
    """Prototypes of several parts, each of which moves to where the image has it."""

    name: ClassVar[str] = "deformable"
    model: ClassVar[str] = "resemblance.methods.deformable.model:Deformable"
    line: ClassVar[str] = "prototypes of several parts, each of which moves to where the image has it"
    citation: ClassVar[str] = (
        "Donnelly, Barnett, Chen: Deformable ProtoPNet: An Interpretable Image Classifier Using Deformable "
        "Prototypes. CVPR 2022"
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    prototypes_per_class: int = option(6, "prototypes per class", least=1)
    parts: int = option(3, "parts per side of a prototype: 3 makes 3x3 parts", least=2)
    addon: str = option(
        "none", "layers between the encoder and the prototypes", choices=("regular", "bottleneck", "none")
    )
    prototype_depth: int = option(128, "channels of a part if there are add-on layers", least=1)
    upsample: int = option(2, "factor by which the latent map is enlarged, bilinearly", least=1, most=16)
    offset_channels: int = option(128, "hidden channels of the layers that predict the offsets", least=1)
    margin: float = option(
        0.1, "angle in radians by which prototypes of other classes count as nearer in training", least=0
    )
    orthogonality: float = option(
        0.1, "weight of the loss that makes the parts of a class orthogonal", least=0
    )
    l1: float = option(1e-2, "weight of the L1 norm of last-layer weights to other classes", least=0)
    warm_epochs: int = option(5, "epochs of the first stage, which trains prototypes", least=0)
    encoder_epochs: int = option(5, "epochs of the second stage, which trains the encoder too", least=0)
    joint_epochs: int = option(20, "epochs of the third stage, which trains the offsets too", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.margin >= 1.5:
            raise UserError(f"--margin must be an angle below 1.5 radians, not {self.margin}")

    @property
    def part_size(self) -> tuple[int, ...]:
        """Rows and columns of parts."""
        return (self.parts, self.parts)
