"""Configuration of ProtoPShare."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from resemblance.config.errors import UserError
from resemblance.config.options import option
from resemblance.config.start import describe
from resemblance.methods.protopnet.config import ProtoPNetConfig

# What a model to start from settles, and where such a model may come from.
TAKEN = (
    "encoder",
    "weights",
    "stem",
    "cut",
    "prototypes_per_class",
    "prototype_depth",
    "prototype_height",
    "prototype_width",
    "addon",
    "similarity",
    "pool",
)
STARTS = ("protopnet", "protopshare")
# What only the training of a ProtoPNet from the beginning needs.
BEGINNING = ("warm_epochs", "joint_epochs", "push_every", "prune")
DEFAULTS: dict[str, Any] = {item.name: item.default for item in fields(ProtoPNetConfig)}


def _taken(name: str, help: str, title: str = "method", **metadata: Any) -> Any:
    """An option that --start settles: None until then, afterwards never None but for --cut."""
    default = DEFAULTS[name]
    rest = f"(default: that of --start{'' if default is None else f', else {default}'})"
    return option(None, f"{help} {rest}", title=title, **metadata)


@dataclass
class ProtoPShareConfig(ProtoPNetConfig):
    """A ProtoPNet whose similar prototypes are merged, so that classes share them."""

    name: ClassVar[str] = "protopshare"
    model: ClassVar[str] = "resemblance.methods.protopshare.model:ProtoPShare"
    line: ClassVar[str] = "ProtoPNet with similar prototypes merged, so that classes share them"
    citation: ClassVar[str] = (
        "Rymarczyk, Struski, Tabor, Zieliński: ProtoPShare: Prototypical Parts Sharing for Similarity "
        "Discovery in Interpretable Image Classification. KDD 2021"
    )

    encoder: str = _taken(
        "encoder", "timm name, torchvision/NAME, small (a compact CNN), or package.module:function", "model"
    )
    weights: str = _taken("weights", "none, pretrained (ImageNet, downloaded), or a file of weights", "model")
    stem: str = _taken("stem", "ResNet stem", "model", choices=("auto", "standard", "small"))
    cut: str | None = _taken("cut", "layer whose output is the latent map (own modules only)", "model")
    prototypes_per_class: int = _taken("prototypes_per_class", "prototypes a class, before merging", least=1)
    prototype_depth: int = _taken("prototype_depth", "channels of a prototype", least=1)
    prototype_height: int = _taken("prototype_height", "cells that a prototype spans, vertically", least=1)
    prototype_width: int = _taken("prototype_width", "likewise horizontally", least=1)
    addon: str = _taken("addon", "add-on layers", choices=("regular", "bottleneck", "none"))
    similarity: str = _taken("similarity", "similarity to a prototype", choices=("log", "linear"))
    pool: str = _taken("pool", "max (parts) or avg (whole images)", choices=("max", "avg"))

    start: str | None = option(
        None,
        "run or model folder of the protopnet to merge (default: one is trained first)",
        metavar="RUN",
        title="model",
    )
    keep: float | None = option(
        None, "share of the prototypes (below 1), or how many, to keep in the end (default: 0.5)"
    )
    merge: float | None = option(
        None, "instead of --keep: prototypes (below 1: their share) that each round joins to their nearest"
    )
    rounds: int = option(1, "rounds of merging, fine-tuning, projection and last layer", least=1)
    merge_by: str = option(
        "data",
        "compare two prototypes by their similarities to the training images (data) or as vectors",
        choices=("data", "vectors"),
    )
    tune_epochs: int = option(5, "epochs of fine-tuning after each merge", least=0)
    last_epochs: int = option(25, "passes of the last layer after each projection", least=0)
    prune: bool = option(False, "prune prototypes whose nearest images are of other classes, before merging")

    def __post_init__(self) -> None:
        if self.start is not None:
            self._take_over(self.start)
        for name in TAKEN:
            if getattr(self, name) is None:
                setattr(self, name, DEFAULTS[name])
        super().__post_init__()
        if self.keep is not None and self.merge is not None:
            raise UserError(
                "--keep says how many prototypes there will be, --merge how many go a round: give one"
            )
        if self.keep is None and self.merge is None:
            self.keep = 0.5
        for name in ("keep", "merge"):
            value = getattr(self, name)
            if value is not None and (value <= 0 or (value >= 1 and value % 1)):
                raise UserError(f"--{name} is a share between 0 and 1 or a whole number, not {value}")

    def _take_over(self, start: str) -> None:
        """Settle from the folder what was left open, and refuse what contradicts it."""
        for name in BEGINNING:
            if getattr(self, name) != DEFAULTS[name]:
                raise UserError(
                    f"--{name.replace('_', '-')} is for training from the beginning; with --start it has no meaning"
                )
        if all(getattr(self, name) is not None for name in TAKEN if name != "cut"):
            return  # settled before: a saved model does not need the folder that it came from
        found = describe(start)
        if found["method"] not in STARTS:
            raise UserError(f"--start takes a {' or '.join(STARTS)}, {start} holds a {found['method']}")
        settled = {name: found["config"].get(name, DEFAULTS[name]) for name in TAKEN}
        if self.encoder is None and ":" in str(settled["encoder"]):
            raise UserError(
                f"{start} stands on your own code; to let it be imported, add --encoder {settled['encoder']}"
            )
        self.check_start(settled)
        for name, value in settled.items():
            setattr(self, name, value)

    def check_start(self, settled: dict[str, Any]) -> None:
        """Refuse settings that contradict those of the model to start from.

        Raises:
            UserError: naming the first.
        """
        for name in TAKEN:
            mine, theirs = getattr(self, name), settled.get(name, DEFAULTS[name])
            if mine is not None and mine != theirs:
                raise UserError(
                    f"--{name.replace('_', '-')} {mine} contradicts --start {self.start}, which has {theirs}; drop it"
                )
