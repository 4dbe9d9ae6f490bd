"""Configuration of ProtoPNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.errors import UserError
from resemblance.config.options import option
from resemblance.methods.weighted_parts.config import WeightedPartsConfig


@dataclass
class ProtoPNetConfig(WeightedPartsConfig):
    """Part prototypes with a linear last layer."""

    name: ClassVar[str] = "protopnet"
    model: ClassVar[str] = "resemblance.methods.protopnet.model:ProtoPNet"
    line: ClassVar[str] = "this looks like that: prototypes of parts, or of whole images with --pool avg"
    citation: ClassVar[str] = (
        "Chen, Li, Tao, Barnett, Rudin, Su: This Looks Like That: Deep Learning for Interpretable Image "
        "Recognition. NeurIPS 2019"
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    prototype_height: int = option(1, "cells of the latent map that a prototype spans, vertically", least=1)
    prototype_width: int = option(1, "cells of the latent map that a prototype spans, horizontally", least=1)
    similarity: str = option("log", "similarity to a prototype", choices=("log", "linear"))
    pool: str = option("max", "max (prototypes of parts) or avg (of whole images)", choices=("max", "avg"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool == "avg" and (self.prototype_height, self.prototype_width) != (1, 1):
            raise UserError(
                "prototypes of whole images (--pool avg) are 1x1: drop --prototype-height and --prototype-width"
            )

    @property
    def part_size(self) -> tuple[int, ...]:
        """Rows and columns of cells that a prototype spans; () for prototypes of whole images."""
        return (self.prototype_height, self.prototype_width) if self.pool == "max" else ()
