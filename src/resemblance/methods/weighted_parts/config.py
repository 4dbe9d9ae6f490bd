"""Options that ProtoPNet and the methods that build on it share."""

from __future__ import annotations

from dataclasses import dataclass

from resemblance.config.encoder import EncoderConfig
from resemblance.config.method import MethodConfig
from resemblance.config.options import option


@dataclass
class WeightedPartsConfig(EncoderConfig, MethodConfig):
    """Prototypes with a linear last layer, and training that is interrupted by projections."""

    prototypes_per_class: int = option(10, "prototypes per class", least=1)
    prototype_depth: int = option(128, "channels of a prototype", least=1)
    addon: str = option(
        "regular", "layers between the encoder and the prototypes", choices=("regular", "bottleneck", "none")
    )
    cluster: float = option(0.8, "weight of the cluster loss", least=0)
    separation: float = option(0.08, "weight of the separation loss (subtracted)", least=0)
    l1: float = option(1e-4, "weight of the L1 norm of last-layer weights to other classes", least=0)
    warm_epochs: int = option(5, "epochs of the first stage, before a pretrained encoder trains too", least=0)
    joint_epochs: int = option(15, "epochs of joint training, after the first stage", least=0)
    push_every: int = option(10, "epochs between projections, counted from the first epoch", least=1)
    last_epochs: int = option(20, "epochs of training the last layer after each projection", least=0)
    prune: bool = option(False, "at the end, prune prototypes whose nearest images belong to other classes")

    @property
    def part_size(self) -> tuple[int, ...]:
        """Rows and columns of cells that a prototype spans; () for prototypes of whole images."""
        return (1, 1)
