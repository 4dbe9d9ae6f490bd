"""Configuration of PrototypeDL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.method import MethodConfig
from resemblance.config.options import option


@dataclass
class PrototypeDLConfig(MethodConfig):
    """An autoencoder with a prototype layer."""

    name: ClassVar[str] = "prototypedl"
    model: ClassVar[str] = "resemblance.methods.prototypedl.model:PrototypeDL"
    line: ClassVar[str] = "an autoencoder with a prototype layer; prototypes are decoded to images"
    citation: ClassVar[str] = (
        "Li, Liu, Chen, Rudin: Deep Learning for Case-Based Reasoning through Prototypes. AAAI 2018"
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    prototypes: int = option(15, "number of prototypes, shared by all classes", least=1)
    architecture: str = option(
        "auto",
        "mnist (3x3 convolutions), cars (5x5, leaky ReLU), or auto (by the images)",
        choices=("auto", "mnist", "cars"),
    )
    fixed_weights: bool = option(False, "one prototype per class, and the last layer fixed to W = -I")
    reconstruction: float = option(0.05, "lambda: weight of the reconstruction error", least=0)
    r1: float = option(
        0.05, "lambda 1: weight of R1, which moves prototypes towards the encodings of images", least=0
    )
    r2: float = option(
        0.05, "lambda 2: weight of R2, which moves the encodings of images towards prototypes", least=0
    )
