"""Say with what the images of a classifier are normalised, and where that comes from."""

from __future__ import annotations

from torch import nn

from resemblance.config.encoder import EncoderConfig
from resemblance.config.groups import ImageOptions
from resemblance.config.image import ImageSpec
from resemblance.encoders.published import IMAGENET, published_images


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
    elif origin == measured and image.channels == len(
        IMAGENET[0]
    ):  # nearly right looks right: say what is usual
        usual = (",".join(f"{value:g}" for value in values) for values in IMAGENET)
        origin += "; if it was trained with ImageNet's, give --mean {} --std {}".format(*usual)
    return _line(image, f"from {origin}")


def normalisation_of_model(image: ImageSpec, options: ImageOptions, name: str) -> str:
    """Return the same line for a model of this library, which knows its images."""
    given = " and ".join(word for word, value in (("--mean", options.mean), ("--std", options.std)) if value)
    return _line(image, f"as {name} was trained" + (f", except for {given}" if given else ""))


def _line(image: ImageSpec, origin: str) -> str:
    mean, std = (",".join(f"{value:.4g}" for value in values) for values in (image.mean, image.std))
    return f"images are normalised with mean {mean} and deviation {std}, {origin}"
