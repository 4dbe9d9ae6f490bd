"""Configuration of ProtoVAE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.encoder import ENCODER, EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.method import MethodConfig
from resemblance.config.options import option

ARCHITECTURES = ("mnist", "quickdraw", "svhn", "cifar", "resnet")


@dataclass
class ProtoVAEConfig(EncoderConfig, MethodConfig):
    """A mixture of variational autoencoders that are centred on the prototypes."""

    name: ClassVar[str] = "protovae"
    model: ClassVar[str] = "resemblance.methods.protovae.model:ProtoVAE"
    line: ClassVar[str] = (
        "a variational autoencoder centred on prototypes of the classes, which are decoded to images"
    )
    citation: ClassVar[str] = (
        "Gautam, Boubekki, Hansen, Salahuddin, Jenssen, Höhne, Kampffmeyer: ProtoVAE: A Trustworthy "
        "Self-Explainable Prototypical Variational Model. NeurIPS 2022"
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    encoder: str = option(
        "auto",
        "auto (the architecture's own convolutions, or resnet18 with --architecture resnet), or a " + ENCODER,
        title="model",
    )
    architecture: str = option(
        "auto",
        "data set whose encoder and decoder in the paper are used, or auto (by the images)",
        choices=("auto", *ARCHITECTURES),
    )
    prototypes_per_class: int = option(5, "M: prototypes per class", least=1)
    latent: int | None = option(None, "D: dimensions of z (default: 256 for mnist, else 512)", least=1)
    sample: bool | None = option(
        None,
        "sample z in training (default for the paper variant)",
        off="use the mean of z in training (default for the released variant)",
    )
    terms: str = option(
        "auto",
        "loss terms as sums over pixels, dimensions and classes (as in the paper) or as means (as in the authors' "
        "code); auto is sums, or means for the released variant",
        choices=("auto", "sums", "means"),
    )
    reconstruction: float = option(1.0, "weight of the reconstruction error", least=0)
    kl: float = option(1.0, "weight of the Kullback-Leibler divergences from the prototypes", least=0)
    orthonormality: float = option(
        1.0, "weight of the loss that makes the prototypes of a class orthonormal", least=0
    )

    @property
    def uses_means(self) -> bool:
        """Whether the loss has means where the paper has sums."""
        return self.variant == "released" if self.terms == "auto" else self.terms == "means"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder == "auto" and self.architecture not in ("auto", "resnet") and self.weights != "none":
            raise UserError(
                f"there are no weights to load for the convolutions of --architecture {self.architecture}; "
                "drop --weights, or name an --encoder such as resnet18"
            )
