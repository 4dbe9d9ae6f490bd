"""Configuration of ProtoPool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.method import MethodConfig
from resemblance.config.options import option


@dataclass
class ProtoPoolConfig(EncoderConfig, MethodConfig):
    """A pool of part prototypes that classes share."""

    name: ClassVar[str] = "protopool"
    model: ClassVar[str] = "resemblance.methods.protopool.model:ProtoPool"
    line: ClassVar[str] = "part prototypes from a pool; classes choose theirs while training, and share them"
    citation: ClassVar[str] = (
        "Rymarczyk, Struski, Górszczak, Lewandowska, Tabor, Zieliński: Interpretable Image Classification with "
        "Differentiable Prototypes Assignment. ECCV 2022"
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    prototypes: int | None = option(
        None,
        "size of the pool (default: 1.01 a class, at least 5 a slot, at most one for each class's slot)",
        least=1,
    )
    slots: int = option(10, "slots a class: how many prototypes it has at most", least=1)
    prototype_depth: int = option(
        128, "channels of a prototype (the paper: 256 for birds, 128 for cars)", least=1
    )
    focal: bool = option(True, "focal similarity, maximum minus mean; without it the maximum alone")
    mixup: bool = option(True, "mix pairs of training images")
    cluster: float = option(0.8, "weight of the cluster loss", least=0)
    separation: float = option(0.08, "weight of the separation loss (subtracted)", least=0)
    orthogonality: float = option(1.0, "weight of the slots' orthogonality", least=0)
    l1: float = option(1e-4, "weight of the L1 norm of last-layer weights to other classes' slots", least=0)
    rate: float = option(1e-3, "base learning rate")
    warm_epochs: int = option(9, "epochs before a pretrained encoder trains too", least=0)
    joint_epochs: int = option(21, "epochs of joint training, warm stage not counted", least=0)
    last_epochs: int = option(25, "passes of the last layer after projection", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.rate > 0:
            raise UserError(f"--rate must be above 0, not {self.rate}")

    def pool(self, classes: int) -> int:
        """How many prototypes there are for so many classes.

        The papers' 202 for 200 classes would leave ten classes ten prototypes, the same ones for each; so there
        are at least five a slot, unless each slot of each class has one of its own with fewer.

        Example:
            >>> [ProtoPoolConfig().pool(classes) for classes in (2, 10, 200, 300)]
            [20, 50, 202, 303]
        """
        return self.prototypes or min(classes * self.slots, max(round(1.01 * classes), 5 * self.slots))
