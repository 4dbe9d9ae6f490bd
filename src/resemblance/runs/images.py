"""Determine the size and the normalisation of the images of a run."""

from __future__ import annotations

from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.config.groups import ImageOptions
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.start import describe
from resemblance.config.values import flag
from resemblance.core.classifier import Classifier
from resemblance.data.sources.source import DataSplits
from resemblance.data.spec import expand, infer_image_spec
from resemblance.encoders.published import image_keywords, published_images


def image_spec(
    splits: DataSplits, options: ImageOptions, encoder: str | None, weights: str = "none"
) -> ImageSpec:
    """Return the size, channels, normalisation and preparation of the options, else of the weights, else of the data.

    Args:
        splits: the images; statistics are computed from the training images.
        options: the user's options.
        encoder: the encoder's name; None for methods without one.
        weights: ``none``, ``pretrained`` or a file.
    """
    published = published_images(encoder) if encoder is not None and weights == "pretrained" else None
    channels = options.channels or (3 if published else None)
    return infer_image_spec(splits, **image_keywords(options, published, channels))


def start_spec(start: str, splits: DataSplits, options: ImageOptions) -> ModelSpec:
    """Return the classes and images of the trained model that a run starts from, and check that the data fits them.

    Args:
        start: the run or model folder of the trained model.
        splits: the images to train on.
        options: the user's options.

    Raises:
        UserError: if the data has other classes, or an option contradicts the model.
    """
    description = describe(start)
    try:
        spec = ModelSpec.from_dict(description["spec"])
    except UserError as error:
        raise UserError(f"--start {start} has a damaged config.json: {error}") from None
    if tuple(splits.classes) != spec.classes:
        raise UserError(f"{splits.name} has other classes than {start}, or has them in another order")
    image = spec.image
    size = options.image_size
    pairs = {
        "image_size": ((size, size) if isinstance(size, int) else size, image.size),
        "channels": (options.channels, image.channels),
        "mean": (expand(options.mean, image.channels, "mean"), image.mean),
        "std": (expand(options.std, image.channels, "std"), image.std),
        "resize": (options.resize, image.resize),
        "crop_share": (options.crop_share, image.crop_share),
        "interpolation": (options.interpolation, image.interpolation),
        "window": (options.window, image.window),
        "draft": (options.draft, image.draft),
    }
    for name, (option, required) in pairs.items():
        if option is not None and option != required:
            raise UserError(
                f"{flag(name)} {option} contradicts --start {start}, which has {required}; leave out {flag(name)}"
            )
    return spec


def stored_window(model: str | Path | Classifier | None) -> tuple[float, float] | None:
    """Return the window with which a model reads its images; None for one without, and for what is not a model folder.

    Args:
        model: a model, or the path of a run or model folder.
    """
    if isinstance(model, Classifier):
        return model.spec.image.window
    if model is None or not Path(model).expanduser().is_dir():
        return None
    try:
        return ModelSpec.from_dict(describe(str(model))["spec"]).image.window
    except UserError:  # whoever loads the model says what is wrong with it
        return None


def overview(splits: DataSplits, spec: ModelSpec) -> str:
    """Return one line about the images: their data set, their numbers, and their size and channels for the model."""
    counts = {"training": splits.train, "validation": splits.val, "test": splits.test}
    listed = ", ".join(f"{len(part)} {name}" for name, part in counts.items() if part is not None)
    kind = "grey" if spec.image.channels == 1 else "RGB"
    size = f"{spec.image.height}x{spec.image.width}"
    share = f" to {100 * spec.image.crop_share:g} %" if spec.image.crop_share < 1 else ""
    prepared = {"squash": "", "crop": ", cropped", "pad": ", padded"}[spec.image.resize] or (
        share and ", cropped"
    )
    return f"{splits.name}: {spec.num_classes} classes, {listed} images at {size}{prepared}{share}, {kind}"
