"""Options that several commands share; each class is a titled group in the commands' help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.options import option
from resemblance.config.training import ACCELERATORS

DATA = "folder of class folders, .zip or .npz of it, mnist:DIR, fashion-mnist:DIR, cifar10:DIR, or digits"


@dataclass
class SourceOptions:
    """Which images."""

    group: ClassVar[str] = "data"

    data: str | None = option(None, DATA + " (default: what the run was trained on)", metavar="DATA")
    skip_bad_images: bool = option(False, "leave out unreadable images, naming them, instead of stopping")
    batch_size: int = option(128, "images a batch; no result depends on it", least=1)
    workers: int = option(0, "processes that read images", least=0)
    accelerator: str = option("auto", "what to compute on", choices=ACCELERATORS)


@dataclass
class ImageOptions:
    """How images are brought to the model; what is None follows from the weights or the data."""

    group: ClassVar[str] = "data"

    image_size: int | tuple[int, int] | None = option(
        None,
        "pixels, or HEIGHT,WIDTH (default: from the weights, else from the data)",
        metavar="N",
    )
    channels: int | None = option(None, "1 (grey) or 3 (RGB) (default: likewise)", choices=(1, 3))
    mean: tuple[float, ...] | None = option(None, "mean of each channel, in [0, 1] (default: likewise)")
    std: tuple[float, ...] | None = option(None, "standard deviation of each channel (default: likewise)")
    val_fraction: float = option(
        0.1, "share of the training images for validation, where the data bring none", least=0.0
    )
    skip_bad_images: bool = option(False, "leave out unreadable images, naming them, instead of stopping")


@dataclass
class JsonOption:
    """The result as JSON."""

    group: ClassVar[str] = "output"

    json: bool = option(False, "print the result as JSON on standard output, and nothing else there")


@dataclass
class RunOptions(JsonOption):
    """A finished run."""

    group: ClassVar[str] = "output"

    run: str = option(None, "run folder, model folder or Hugging Face hub id", positional=True, metavar="RUN")
    allow_import: str | None = option(
        None, "package.module:function that a model around your own code may import", metavar="NAME"
    )
