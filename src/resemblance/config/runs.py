"""The options of training and conversion, the same on the command line and in Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resemblance.config.encoder import CUT, STEMS
from resemblance.config.groups import DATA, IMPORT, TRAINED_ON, ImageOptions
from resemblance.config.method import VARIANT
from resemblance.config.options import option
from resemblance.config.training import ACCELERATORS, DEVICES, NO_PROGRESS, PROGRESS, SEED, TrainConfig
from resemblance.config.values import check_fields

REPORT, NO_REPORT = "write report.html at the end", "do not write report.html at the end"


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
    report: bool = option(True, REPORT, off=NO_REPORT, title="output")


@dataclass
class ConvertOptions(ImageOptions):
    """The options of conversion to KMEx.

    Example:
        >>> ConvertOptions(model="runs/blackbox", patches=True).prototypes_per_class
        5
    """

    model: str | None = option(
        None,
        "run folder, model folder, hf:OWNER/NAME, timm name, torchvision/NAME, transformers/NAME, or "
        "package.module:function",
        positional=True,
        metavar="MODEL",
    )
    data: str | None = option(None, DATA + TRAINED_ON, metavar="DATA", title="data")
    weights: str = option(
        "none", "none, pretrained, FILE, or FILE::ENTRY of several sets of weights in it", title="model"
    )
    stem: str = option("auto", "ResNet stem that the weights belong to", choices=STEMS, title="model")
    cut: str | None = option(None, CUT, title="model")
    classes: str | tuple[str, ...] | None = option(
        None,
        "class names in the order of the classifier's outputs, separated by commas, or a file with one name per line; "
        "for a single output, the class that it stands for",
        title="model",
    )
    prototypes_per_class: int = option(
        5, "clusters, and therefore prototypes, per class", least=1, title="method"
    )
    patches: bool = option(
        False, "prototypes of patches of the image, before pooling, which vote for classes", title="method"
    )
    n_init: int = option(
        1, "runs of k-means from different starting points; the best is kept", least=1, title="method"
    )
    subset: int | None = option(
        None, "cluster at most this many embeddings per class (default: all)", least=1, title="method"
    )
    variant: str = option("paper", VARIANT, choices=("paper", "released"), title="method")
    seed: int = option(0, SEED, least=0, title="method")
    batch_size: int = option(128, "images per batch; does not change the results", least=1, title="data")
    workers: int = option(0, "processes that read images", least=0, title="data")
    latent_cache: float = option(
        4.0,
        "gigabytes of disk for the latents, which are computed once and kept for later runs; 0: keep none",
        least=0,
        metavar="GB",
        title="data",
    )
    accelerator: str = option("auto", "hardware to compute on", choices=ACCELERATORS, title="data")
    devices: int = option(1, DEVICES, least=1, title="data")
    allow_import: str | None = option(None, IMPORT, metavar="NAME", title="model")
    force: bool = option(False, "convert even if the classifier does not fit these images", title="method")
    progress: bool = option(True, PROGRESS, off=NO_PROGRESS, title="output")
    output: Path | None = option(
        None,
        "run folder (default: runs/kmex-MODEL, or runs/kmex-patches-MODEL)",
        metavar="DIR",
        title="output",
    )
    report: bool = option(True, REPORT, off=NO_REPORT, title="output")

    def __post_init__(self) -> None:
        check_fields(self)
