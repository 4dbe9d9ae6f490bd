"""Say with what the images of a classifier are normalised, and where that comes from."""

from __future__ import annotations

from torch import nn

from resemblance.config.encoder import EncoderConfig
from resemblance.config.groups import ImageOptions
from resemblance.config.image import ImageSpec
from resemblance.encoders.published import published_images


def normalisation_source(
    image: ImageSpec, options: ImageOptions, config: EncoderConfig, module: nn.Module | None
) -> str:
    """Return one line that says with what images are normalised, and where that comes from."""
    pretrained = module is None and config.weights == "pretrained"
    published = published_images(config.encoder) if pretrained else None
    measured = "the training images"
    default = (
        measured if published is None or image.channels != len(published.mean) else "the weights' training"
    )
    sources = [
        (given and option) or default for given, option in ((options.mean, "--mean"), (options.std, "--std"))
    ]
    origin = sources[0] if sources[0] == sources[1] else " and ".join(sources)
    if options.mean and options.std:
        origin = "--mean and --std"
    mean, std = (",".join(f"{value:.4g}" for value in values) for values in (image.mean, image.std))
    return f"images are normalised with mean {mean} and deviation {std}, from {origin}"
