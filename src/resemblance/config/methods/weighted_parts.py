"""What ProtoPNet and the methods that build on it share of their configuration."""

from __future__ import annotations

from dataclasses import dataclass

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.methods.base import MethodConfig
from resemblance.config.options import option


@dataclass
class WeightedPartsConfig(EncoderConfig, MethodConfig):
    """Prototypes read by a linear last layer, and training interrupted by projections."""

    prototypes_per_class: int = option(10, "prototypes a class")
    prototype_depth: int = option(128, "channels of a prototype")
    addon: str = option("regular", "add-on layers", choices=("regular", "bottleneck", "none"))
    cluster: float = option(0.8, "weight of the cluster loss")
    separation: float = option(0.08, "weight of the separation loss (subtracted)")
    l1: float = option(1e-4, "weight of the L1 norm of foreign last-layer weights")
    warm_epochs: int = option(5, "epochs of the warm stage")
    joint_epochs: int = option(15, "epochs of joint training, warm stage not counted")
    push_every: int = option(10, "project after each so many epochs, counted from the first")
    last_epochs: int = option(20, "passes of the last layer after each projection")
    prune: bool = option(False, "prune prototypes whose nearest images are of other classes, at the end")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least_one("prototypes_per_class", "prototype_depth", "push_every")

    def at_least_one(self, *names: str) -> None:
        """Refuse values below 1."""
        for name in names:
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}")
