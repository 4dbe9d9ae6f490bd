"""The options by which a run is made, the same on the command line and in Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resemblance.config.groups import DATA, ImageOptions
from resemblance.config.options import option
from resemblance.config.training import ACCELERATORS, TrainConfig
from resemblance.config.values import check_fields

IMPORT = "package.module:function that a model around your own code may import"


@dataclass
class TrainOptions(ImageOptions, TrainConfig):
    """The options of training, other than the method's own.

    Example:
        >>> TrainOptions(data="digits", epochs=3).val_fraction
        0.1
    """

    data: str | None = option(None, DATA, metavar="DATA", required=True, title="data")
    output: Path | None = option(
        None, "run folder (default: runs/METHOD-DATA)", metavar="DIR", title="output"
    )
    report: bool = option(True, "write report.html at the end", title="output")


@dataclass
class ConvertOptions(ImageOptions):
    """The options of conversion to KMEx.

    Example:
        >>> ConvertOptions(model="runs/blackbox", patches=True).prototypes_per_class
        5
    """

    model: str | None = option(
        None,
        "run or model folder, timm name, torchvision/NAME, or package.module:function",
        positional=True,
        metavar="MODEL",
    )
    data: str | None = option(
        None, DATA + " (default: what the run was trained on)", metavar="DATA", title="data"
    )
    weights: str = option(
        "none", "none, pretrained, or a file of weights; for timm and torchvision names", title="model"
    )
    stem: str = option(
        "auto",
        "ResNet stem that the weights are for",
        choices=("auto", "standard", "small"),
        title="model",
    )
    cut: str | None = option(
        None, "name of the layer whose output is the latent map (own modules only)", title="model"
    )
    classes: str | tuple[str, ...] | None = option(
        None,
        "order of the classifier's outputs: names separated by commas, or a file with a name a line",
        title="model",
    )
    prototypes_per_class: int = option(5, "clusters, and so prototypes, a class", least=1, title="method")
    patches: bool = option(False, "prototypes of patches before pooling, deciding by votes", title="method")
    n_init: int = option(1, "restarts of k-means", least=1, title="method")
    subset: int | None = option(
        None, "cluster at most this many embeddings a class (default: all)", least=1, title="method"
    )
    variant: str = option(
        "paper",
        "paper, or released (what the authors' code does)",
        choices=("paper", "released"),
        title="method",
    )
    seed: int = option(0, "all random choices follow from it", least=0, title="method")
    batch_size: int = option(128, "images a batch; no result depends on it", least=1, title="data")
    workers: int = option(0, "processes that read images", least=0, title="data")
    accelerator: str = option("auto", "what to compute on", choices=ACCELERATORS, title="data")
    allow_import: str | None = option(None, IMPORT, metavar="NAME", title="model")
    force: bool = option(False, "convert even if the classifier does not fit these images", title="method")
    progress: bool = option(True, "show progress and estimates of time", title="output")
    output: Path | None = option(
        None,
        "run folder (default: runs/kmex-MODEL, or runs/kmex-patches-MODEL)",
        metavar="DIR",
        title="output",
    )
    report: bool = option(True, "write report.html at the end", title="output")

    def __post_init__(self) -> None:
        check_fields(self)
