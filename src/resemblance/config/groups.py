"""Options that several commands share; each class is a titled group in the commands' help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.image import INTERPOLATIONS, RESIZES, SMALLEST_SHARE
from resemblance.config.options import option
from resemblance.config.training import ACCELERATORS

DATA = (
    "folder with one subfolder per class or a table of labels, a .zip or .npz file, a folder of Parquet files, "
    "hf:OWNER/NAME, a data set of the papers (mnist:DIR, cub:DIR, ...), or digits"
)
TRAINED_ON = " (default: the data that the run was trained on)"
LABELS = (
    "table with columns file and class, and perhaps split and group, for images without class folders; TABLE:COLUMN "
    "names the column of classes; for celeba:DIR an attribute (default: the folders, else the only table beside the "
    "images; none: the folders)"
)
WINDOW = (
    "values that become black and white in images of more than 8 bits, for instance -160,240 for soft tissue in CT "
    "(default: the range of their type)"
)
SKIP = "leave out unreadable images and name them, instead of stopping"
IMPORT = "package.module:function that may be imported, for a model around your own network"
RUN = "run folder, model folder, or hf:OWNER/NAME for a model on the Hugging Face Hub"


@dataclass
class SourceOptions:
    """The images that a command reads, and how."""

    group: ClassVar[str] = "data"

    data: str | None = option(None, DATA + TRAINED_ON, metavar="DATA")
    labels: str | None = option(None, LABELS, metavar="TABLE")
    skip_bad_images: bool = option(False, SKIP)
    batch_size: int = option(128, "images per batch; does not change the results", least=1)
    workers: int = option(0, "processes that read images", least=0)
    accelerator: str = option("auto", "hardware to compute on", choices=ACCELERATORS)


@dataclass
class ImageOptions:
    """The images of a new model: size, preparation, normalisation; None follows the weights or the data."""

    group: ClassVar[str] = "data"

    image_size: int | tuple[int, int] | None = option(
        None,
        "pixels per side, or HEIGHT,WIDTH (default: from the weights, else from the data)",
        metavar="N",
    )
    channels: int | None = option(None, "1 (grey) or 3 (RGB); default as for --image-size", choices=(1, 3))
    mean: tuple[float, ...] | None = option(
        None, "mean of each channel, in [0, 1]; default as for --image-size"
    )
    std: tuple[float, ...] | None = option(
        None, "standard deviation of each channel; default as for --image-size"
    )
    resize: str | None = option(
        None,
        "squash (each side on its own), crop (cut out the middle) or pad; default: as the weights were trained, else "
        "squash",
        choices=RESIZES,
    )
    crop_share: float | None = option(
        None,
        "share of the scaled side that is cut out (default: as the weights were trained, else 1)",
        least=SMALLEST_SHARE,
        most=1,
    )
    interpolation: str | None = option(
        None,
        "filter that scales the images (default: as the weights were trained, else bilinear)",
        choices=INTERPOLATIONS,
    )
    window: tuple[float, float] | None = option(None, WINDOW, metavar="LOW,HIGH")
    draft: bool | None = option(
        None,
        "decode large JPEGs at a fraction of their size, which is faster and changes levels by 1 or 2 of 255 "
        "(default: as the model that is converted or started from, else yes)",
        off="decode large JPEGs in full",
    )
    pixel_cache: float | None = option(
        None,
        "gigabytes of temporary disk for images at the model's size, which are then decoded once in a run; 0: decode "
        "them in every epoch (default: half of what is free)",
        least=0,
        metavar="GB",
    )
    labels: str | None = option(None, LABELS, metavar="TABLE")
    val_fraction: float = option(
        0.1,
        "share of the training images used for validation if the data has no validation images",
        above=0,
        below=1,
    )
    skip_bad_images: bool = option(False, SKIP)


@dataclass
class JsonOption:
    """The choice of JSON as output."""

    group: ClassVar[str] = "output"

    json: bool = option(False, "print the result as JSON on standard output, and nothing else")


@dataclass
class RunOptions(JsonOption):
    """A finished run."""

    group: ClassVar[str] = "output"

    run: str = option(None, RUN, positional=True, metavar="RUN")
    allow_import: str | None = option(None, IMPORT, metavar="NAME")
