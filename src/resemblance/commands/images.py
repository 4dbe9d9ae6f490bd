"""How the images of a run are brought to its model."""

from __future__ import annotations

from typing import Any

from resemblance.config.groups import ImageOptions
from resemblance.config.image import ImageSpec
from resemblance.core.encoder import pretrained_image_spec
from resemblance.data.source import DataSplits
from resemblance.data.spec import infer_image_spec


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
