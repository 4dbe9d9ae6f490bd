"""Configuration of KMEx."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from resemblance.config.errors import UserError
from resemblance.config.options import option
from resemblance.methods.blackbox.config import BlackBoxConfig


@dataclass
class KMExConfig(BlackBoxConfig):
    """K-means prototypes on the embeddings of a trained classifier."""

    name: ClassVar[str] = "kmex"
    model: ClassVar[str] = "resemblance.methods.kmex.model:KMEx"
    line: ClassVar[str] = "turns any trained classifier into a self-explaining one by per-class k-means"
    citation: ClassVar[str] = (
        "Gautam, Boubekki, Höhne, Kampffmeyer: Prototypical Self-Explainable Models Without Re-training. "
        "TMLR 2024"
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    prototypes_per_class: int = option(5, "clusters, and therefore prototypes, per class", least=1)
    patches: bool = option(
        False, "prototypes of patches of the image, before pooling, which vote for classes"
    )
    n_init: int = option(1, "runs of k-means from different starting points; the best is kept", least=1)
    subset: int | None = option(
        None, "cluster at most this many embeddings per class (default: all)", least=1
    )
    base: dict[str, Any] | None = option(
        None, "the prototype model whose encoder is reused (written by convert)", hidden=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.subset is not None and self.subset < self.prototypes_per_class:
            few = self.prototypes_per_class
            raise UserError(f"--subset {self.subset} is smaller than --prototypes-per-class {few}")
