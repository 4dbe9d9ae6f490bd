"""Configuration of ProtoPShare."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_type_hints

from resemblance.config.encoder import CUT, ENCODER, STEMS, WEIGHTS
from resemblance.config.errors import UserError
from resemblance.config.files.typed import typed
from resemblance.config.options import option
from resemblance.config.start import describe
from resemblance.config.values import flag
from resemblance.methods.protopnet.config import ProtoPNetConfig

# Options that are copied from the model that --start names, and the methods that this model may have.
COPIED = (
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
# Options that only matter if a ProtoPNet is trained first.
PROTOPNET_ONLY = ("warm_epochs", "joint_epochs", "push_every", "prune")
DEFAULTS: dict[str, Any] = {item.name: item.default for item in fields(ProtoPNetConfig)}


def _copied(name: str, help: str, title: str = "method", **metadata: Any) -> Any:
    """Declare an option that is copied from --start: None until then, and afterwards never None, except --cut."""
    default = DEFAULTS[name]
    rest = f"(default: as in --start{'' if default is None else f', else {default}'})"
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

    encoder: str = _copied("encoder", ENCODER, "model")
    weights: str = _copied("weights", WEIGHTS, "model")
    stem: str = _copied("stem", "ResNet stem", "model", choices=STEMS)
    cut: str | None = _copied("cut", CUT, "model")
    prototypes_per_class: int = _copied(
        "prototypes_per_class", "prototypes per class, before merging", least=1
    )
    prototype_depth: int = _copied("prototype_depth", "channels of a prototype", least=1)
    prototype_height: int = _copied(
        "prototype_height", "cells of the latent map that a prototype spans, vertically", least=1
    )
    prototype_width: int = _copied(
        "prototype_width", "cells of the latent map that a prototype spans, horizontally", least=1
    )
    addon: str = _copied(
        "addon", "layers between the encoder and the prototypes", choices=("regular", "bottleneck", "none")
    )
    similarity: str = _copied("similarity", "similarity to a prototype", choices=("log", "linear"))
    pool: str = _copied("pool", "max (prototypes of parts) or avg (of whole images)", choices=("max", "avg"))

    start: str | None = option(
        None,
        "run or model folder of the protopnet whose prototypes are merged (default: one is trained first)",
        metavar="RUN",
        title="model",
    )
    keep: float | None = option(
        None, "prototypes to keep in the end: a share (below 1) or a number (default: 0.5)", least=0
    )
    merge: float | None = option(
        None, "instead of --keep: prototypes to merge in each round, a share (below 1) or a number", least=0
    )
    rounds: int = option(1, "rounds of merging, fine-tuning, projection and training the last layer", least=1)
    merge_by: str = option(
        "data",
        "compare prototypes by their similarities to the training images (data) or by their vectors (vectors)",
        choices=("data", "vectors"),
    )
    tune_epochs: int = option(5, "epochs of fine-tuning after each round of merging", least=0)
    last_epochs: int = option(25, "epochs of training the last layer after each projection", least=0)
    prune: bool = option(
        False, "before merging, prune prototypes whose nearest images belong to other classes"
    )

    def __post_init__(self) -> None:
        if self.start is not None:
            self._copy_options(self.start)
        for name in COPIED:
            if getattr(self, name) is None:
                setattr(self, name, DEFAULTS[name])
        super().__post_init__()
        if self.keep is not None and self.merge is not None:
            raise UserError(
                "--keep sets how many prototypes are left, --merge how many each round merges: give only one of them"
            )
        if self.keep is None and self.merge is None:
            self.keep = 0.5
        for name in ("keep", "merge"):
            value = getattr(self, name)
            if value is not None and (value == 0 or (value >= 1 and value % 1)):
                raise UserError(f"--{name} must be a share between 0 and 1 or a whole number, not {value}")

    def _copy_options(self, start: str) -> None:
        """Copy the options that are not set from the folder, and refuse options that contradict it."""
        for name in PROTOPNET_ONLY:
            if getattr(self, name) != DEFAULTS[name]:
                raise UserError(
                    f"{flag(name)} is for training a ProtoPNet first and cannot be used with --start"
                )
        if all(getattr(self, name) is not None for name in COPIED if name != "cut"):
            return  # all are set: a saved model does not need the folder that --start names
        base = describe(start)
        if base["method"] not in STARTS:
            raise UserError(f"--start needs a {' or '.join(STARTS)}, but {start} holds a {base['method']}")
        kinds = get_type_hints(type(self))
        config = typed(
            base["config"], {name: kinds[name] for name in COPIED}, f"--start {start}: config.json"
        )
        start_options = {name: config.get(name, DEFAULTS[name]) for name in COPIED}
        if self.encoder is None and ":" in str(start_options["encoder"]):
            raise UserError(
                f"the encoder of {start} is your own code; to allow its import, add "
                f"--encoder {start_options['encoder']}"
            )
        self.check_start(start_options)
        for name, value in start_options.items():
            setattr(self, name, value)

    def check_start(self, start_options: dict[str, Any]) -> None:
        """Refuse options that contradict the model named by --start.

        Raises:
            UserError: if an option does, for the first of them.
        """
        for name in COPIED:
            value, start_value = getattr(self, name), start_options.get(name, DEFAULTS[name])
            if value is not None and value != start_value:
                raise UserError(
                    f"{flag(name)} {value} contradicts --start {self.start}, which has {start_value}; drop it"
                )
