"""Configuration of ProtoTree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.method import MethodConfig
from resemblance.config.options import option


@dataclass
class ProtoTreeConfig(EncoderConfig, MethodConfig):
    """A decision tree whose nodes check whether the image has a part."""

    name: ClassVar[str] = "prototree"
    model: ClassVar[str] = "resemblance.methods.prototree.model:ProtoTree"
    line: ClassVar[str] = "a decision tree whose nodes ask whether the image has a part of a training image"
    citation: ClassVar[str] = (
        "Nauta, van Bree, Seifert: Neural Prototype Trees for Interpretable Fine-grained Image Recognition. "
        "CVPR 2021"
    )
    variants: ClassVar[tuple[str, ...]] = ("paper", "released")

    depth: int | None = option(
        None,
        "most questions before a leaf (default: one per class, but enough for 4 leaves per class, and at most the "
        "paper's 9)",
        least=1,
        most=14,
    )
    prototype_depth: int = option(256, "channels of a prototype", least=1)
    prototype_height: int = option(1, "cells of the latent map that a prototype spans, vertically", least=1)
    prototype_width: int = option(1, "cells of the latent map that a prototype spans, horizontally", least=1)
    inference: str = option(
        "distributed",
        "distributed (all leaves, by their probabilities), sample_max (the most probable leaf) or greedy (the leaf "
        "reached by the more probable branch at each node)",
        choices=("distributed", "sample_max", "greedy"),
    )
    log_probabilities: bool = option(False, "compute products of probabilities as sums of logarithms")
    leaves: str = option(
        "counted",
        "how the leaves learn: counted (without gradients, as in the paper) or trained (with gradients)",
        choices=("counted", "trained"),
    )
    prune_threshold: float | None = option(
        None,
        "prune subtrees in which no leaf gives a class a higher probability than this; 0 prunes none "
        "(default: 0.01, but at least 1.05 / classes)",
        least=0,
        below=1,
    )
    free_layer: str | None = option(
        None,
        "layer of a pretrained encoder that trains at the learning rate of the prototypes (in the paper layer4.2 of a "
        "ResNet-50)",
    )
    frozen_epochs: int = option(30, "epochs in which a pretrained encoder is frozen", least=0)
    joint_epochs: int = option(70, "epochs of training everything", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.free_layer is not None and self.from_scratch:
            raise UserError(
                "--free-layer needs an encoder with weights; without weights, all of its layers train"
            )

    def tree_depth(self, classes: int) -> int:
        """Return the depth of the tree, by default enough for 4 leaves per class and for one node per class on a path.

        It is at most 9, unless one leaf per class needs more. At the start of training most images go left, and one
        class after the other learns to go right: a tree with fewer levels than classes learns slowly.

        Example:
            >>> [ProtoTreeConfig().tree_depth(classes) for classes in (2, 5, 10, 100, 200, 1000)]
            [3, 5, 9, 9, 9, 10]
        """
        if self.depth is not None:
            return self.depth
        enough = (classes - 1).bit_length()  # 2^enough leaves are at least one per class
        return min(max(enough + 2, classes - 1), max(9, enough))

    def threshold(self, classes: int) -> float:
        """Return the class probability up to which a leaf is uninformative: the paper's 0.01 if that is above 1 / C.

        Example:
            >>> [round(ProtoTreeConfig().threshold(classes), 4) for classes in (10, 200)]
            [0.105, 0.01]
        """
        return max(0.01, 1.05 / classes) if self.prune_threshold is None else self.prune_threshold
