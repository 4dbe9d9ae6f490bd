"""Configuration of TesNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.options import option
from resemblance.methods.weighted_parts.config import WeightedPartsConfig


@dataclass
class TesNetConfig(WeightedPartsConfig):
    """Basis concepts that span one subspace per class."""

    name: ClassVar[str] = "tesnet"
    model: ClassVar[str] = "resemblance.methods.tesnet.model:TesNet"
    line: ClassVar[str] = "part prototypes that form an orthonormal basis of one subspace per class"
    citation: ClassVar[str] = (
        "Wang, Liu, Wang, Jing: Interpretable Image Recognition by Constructing Transparent Embedding Space. "
        "ICCV 2021"
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    prototypes_per_class: int = option(10, "basis concepts per class", least=1)
    prototype_depth: int = option(64, "channels of a basis concept", least=1)
    orthonormality: float = option(
        1e-4, "weight of the loss that makes the concepts of a class orthonormal", least=0
    )
    subspaces: float = option(
        1e-7, "weight of the distances between the subspaces of the classes (subtracted)", least=0
    )
