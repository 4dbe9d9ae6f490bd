"""Configuration of the baselines of PrototypeDL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.method import MethodConfig
from resemblance.config.options import option


@dataclass
class AutoencoderConfig(MethodConfig):
    """PrototypeDL's network with a fully connected layer in place of the prototypes."""

    name: ClassVar[str] = "autoencoder"
    model: ClassVar[str] = "resemblance.methods.autoencoder.model:AutoencoderClassifier"
    line: ClassVar[str] = (
        "PrototypeDL without prototypes, with or without decoder: its baselines; does not explain"
    )
    citation: ClassVar[str] = (
        "Li, Liu, Chen, Rudin: Deep Learning for Case-Based Reasoning through Prototypes. AAAI 2018"
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    units: int = option(15, "outputs of the fully connected layer, in place of as many prototypes", least=1)
    architecture: str = option(
        "auto",
        "mnist (3x3 convolutions), cars (5x5, leaky ReLU), or auto (by the images)",
        choices=("auto", "mnist", "cars"),
    )
    decoder: bool = option(
        True,
        "decode the codes, and add the reconstruction error to the loss (default)",
        off="no decoder, and ReLU in place of the sigmoid: an ordinary convolutional network",
    )
    reconstruction: float = option(0.05, "lambda: weight of the reconstruction error", least=0)
