"""Configuration of ProtoPool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.encoder import EncoderConfig
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
        "size of the pool (default: 1.01 per class, but at least 5 per slot, and at most one per class and slot)",
        least=1,
    )
    slots: int = option(
        10, "slots per class: the largest number of prototypes that a class can have", least=1
    )
    prototype_depth: int = option(
        128, "channels of a prototype (in the paper 256 for birds, 128 for cars)", least=1
    )
    focal: bool = option(
        True,
        "use the focal similarity, maximum minus mean",
        off="use the maximum as similarity, without subtracting the mean (focal similarity)",
    )
    gumbel: bool = option(
        True,
        "draw the prototypes of slots by Gumbel-Softmax, ever harder (default)",
        off="mix the prototypes of slots by a plain softmax in training, without noise and scale",
    )
    mixup: bool = option(True, "mix pairs of training images", off="do not mix pairs of training images")
    cluster: float = option(0.8, "weight of the cluster loss", least=0)
    separation: float = option(0.08, "weight of the separation loss (subtracted)", least=0)
    orthogonality: float = option(
        1.0, "weight of the loss that makes the slots of a class orthogonal", least=0
    )
    l1: float = option(1e-4, "weight of the L1 norm of last-layer weights to slots of other classes", least=0)
    rate: float = option(1e-3, "base learning rate", above=0)
    warm_epochs: int = option(9, "epochs of the first stage, before a pretrained encoder trains too", least=0)
    joint_epochs: int = option(21, "epochs of joint training, after the first stage", least=0)
    last_epochs: int = option(25, "epochs of training the last layer after the projection", least=0)

    def pool(self, classes: int) -> int:
        """Return the number of prototypes for this number of classes.

        The paper's 202 for 200 classes would give ten classes only ten prototypes, the same ones for each. So there
        are at least five per slot, unless fewer are enough to give each slot of each class its own.

        Example:
            >>> [ProtoPoolConfig().pool(classes) for classes in (2, 10, 200, 300)]
            [20, 50, 202, 303]
        """
        return self.prototypes or min(classes * self.slots, max(round(1.01 * classes), 5 * self.slots))
