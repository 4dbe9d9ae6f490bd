"""Configuration of ProtoPNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.methods.base import MethodConfig
from resemblance.config.options import option


@dataclass
class ProtoPNetConfig(EncoderConfig, MethodConfig):
    """Part prototypes with a linear last layer."""

    line: ClassVar[str] = "this looks like that: part prototypes, or whole images with --pool avg"
    citation: ClassVar[str] = (
        "Chen, Li, Tao, Barnett, Rudin, Su: This Looks Like That: Deep Learning for Interpretable Image "
        "Recognition. NeurIPS 2019"
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    prototypes_per_class: int = option(10, "prototypes a class")
    prototype_depth: int = option(128, "channels of a prototype")
    prototype_height: int = option(1, "cells of the latent map that a prototype spans, vertically")
    prototype_width: int = option(1, "likewise horizontally")
    addon: str = option("regular", "add-on layers", choices=("regular", "bottleneck", "none"))
    similarity: str = option("log", "similarity to a prototype", choices=("log", "linear"))
    pool: str = option("max", "max (parts) or avg (whole images)", choices=("max", "avg"))
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
        for name in (
            "prototypes_per_class",
            "prototype_depth",
            "prototype_height",
            "prototype_width",
            "push_every",
        ):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}")
        if self.pool == "avg" and (self.prototype_height, self.prototype_width) != (1, 1):
            raise UserError("whole-image prototypes (--pool avg) are 1x1: drop --prototype-height and -width")
