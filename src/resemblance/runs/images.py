"""How the images of a run are brought to its model."""

from __future__ import annotations

from typing import Any

from resemblance.config.errors import UserError
from resemblance.config.groups import ImageOptions
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.config.start import describe
from resemblance.data.sources.source import DataSplits
from resemblance.data.spec import infer_image_spec
from resemblance.encoders.build import pretrained_image_spec


def image_spec(
    splits: DataSplits, options: ImageOptions, encoder: str | None, weights: str = "none"
) -> ImageSpec:
    """Size, channels and normalisation: as the user says, else as the weights want, else as the data are.

    Args:
        splits: the images; statistics come from the training images.
        options: what the user says.
        encoder: its name; None for methods without one.
        weights: ``none``, ``pretrained`` or a file.
    """
    wanted: dict[str, Any] = {"mean": options.mean, "std": options.std, "channels": options.channels}
    size = options.image_size
    if encoder is not None and weights == "pretrained" and (found := pretrained_image_spec(encoder)):
        mean, std, own_size = found
        size = size or own_size
        wanted["channels"] = wanted["channels"] or 3
        if wanted["channels"] == len(mean):
            wanted["mean"], wanted["std"] = wanted["mean"] or mean, wanted["std"] or std
    return infer_image_spec(splits, size, wanted["mean"], wanted["std"], channels=wanted["channels"])


def start_spec(start: str, splits: DataSplits, options: ImageOptions) -> ModelSpec:
    """Classes and images of the trained model that a run starts from; the data and the user must not say otherwise.

    Args:
        start: its run or model folder.
        splits: the images to train on.
        options: what the user says.

    Raises:
        UserError: if the classes are others, or an option is.
    """
    try:
        spec = ModelSpec.from_dict(describe(start)["spec"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"--start {start} has a damaged config.json: {type(error).__name__} {error}"
        ) from None
    if tuple(splits.classes) != spec.classes:
        raise UserError(f"{splits.name} has other classes than {start}, or in another order")
    image = spec.image
    size = options.image_size
    given = {
        "image_size": ((size, size) if isinstance(size, int) else size, image.size),
        "channels": (options.channels, image.channels),
        "mean": (options.mean, image.mean),
        "std": (options.std, image.std),
    }
    for name, (wanted, own) in given.items():
        if wanted is not None and wanted != own:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} {wanted} contradicts --start {start}, which has {own}; drop it")
    return spec


def overview(splits: DataSplits, spec: ModelSpec) -> str:
    """A line on the images: from where, how many, and as the model sees them."""
    counts = {"training": splits.train, "validation": splits.val, "test": splits.test}
    listed = ", ".join(f"{len(part)} {name}" for name, part in counts.items() if part is not None)
    kind = "grey" if spec.image.channels == 1 else "RGB"
    size = f"{spec.image.height}x{spec.image.width}"
    return f"{splits.name}: {spec.num_classes} classes, {listed} images at {size}, {kind}"
