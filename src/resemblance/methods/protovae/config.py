"""Configuration of ProtoVAE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.method import MethodConfig
from resemblance.config.options import option

ARCHITECTURES = ("mnist", "quickdraw", "svhn", "cifar", "resnet")


@dataclass
class ProtoVAEConfig(EncoderConfig, MethodConfig):
    """Mixture of variational autoencoders centred on prototypes."""

    name: ClassVar[str] = "protovae"
    model: ClassVar[str] = "resemblance.methods.protovae.model:ProtoVAE"
    line: ClassVar[str] = "variational autoencoder centred on class prototypes, which are decoded to images"
    citation: ClassVar[str] = (
        "Gautam, Boubekki, Hansen, Salahuddin, Jenssen, Höhne, Kampffmeyer: ProtoVAE: A Trustworthy "
        "Self-Explainable Prototypical Variational Model. NeurIPS 2022"
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    encoder: str = option(
        "auto",
        "auto (the architecture's own convolutions; resnet18 with --architecture resnet), or a name as in other "
        "methods, such as resnet18",
        title="model",
    )
    architecture: str = option(
        "auto", "encoder and decoder of the paper for these data, or auto", choices=("auto", *ARCHITECTURES)
    )
    prototypes_per_class: int = option(5, "M, prototypes a class", least=1)
    latent: int | None = option(None, "D, numbers in z (default: 256 for mnist, else 512)", least=1)
    sample: bool | None = option(
        None, "whether training samples z (default: yes; released: no)", metavar="BOOL"
    )
    terms: str = option(
        "auto",
        "sums over pixels, dimensions and classes, as the paper writes them, or means, as the authors' code takes "
        "them (auto: sums; released: means)",
        choices=("auto", "sums", "means"),
    )
    reconstruction: float = option(1.0, "weight of the reconstruction error", least=0)
    kl: float = option(1.0, "weight of the divergences from the prototypes", least=0)
    orthonormality: float = option(1.0, "weight of the orthonormality of each class's prototypes", least=0)

    @property
    def takes_means(self) -> bool:
        """Whether the loss takes means where the paper writes sums."""
        return self.variant == "released" if self.terms == "auto" else self.terms == "means"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder == "auto" and self.architecture not in ("auto", "resnet") and self.weights != "none":
            raise UserError(
                f"the convolutions of --architecture {self.architecture} have no weights to load; "
                "drop --weights, or name an --encoder such as resnet18"
            )
