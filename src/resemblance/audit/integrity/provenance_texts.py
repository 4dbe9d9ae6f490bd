"""What the check "provenance" says."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from resemblance.core.prototype_model import PrototypeModel
from resemblance.prototypes.vectors import VectorPrototypes

# What can be wrong, and how it is said.
REASONS = {
    "index": "its source is not among the training images",
    "vector": "its vector is not that of its source image",
    "box": "its box is not where the source image has it",
    "nearest": "another training image is nearer than its source image",
    "class": "its source image is of another class",
    "picture": "its picture is not its source image",
    "name": "its name is not that of its source image",
    "decoding": "its decoded picture is not what its vector decodes to",
}
OTHER = "other images"  # what is shown where the training images are not at hand
MEANING = (
    "The source image of each prototype is read and embedded again, and compared with what the folder holds: vector, "
    "place, class, picture and name. Checksums show that a folder was not changed by accident; they do not show that "
    "its pictures are those of its prototypes."
)
CURE = (
    "Do not show these pictures as explanations. If nearly all fail, check that the data are those that the model was "
    "trained with (--data); otherwise get the folder from its author again, or train again."
)
OTHER_IMAGES = (
    "Give the images that the model was trained with, split as for training (--data). If these are the ones, the "
    "folder shows pictures from elsewhere: then do not show them as explanations."
)


def plural_of(reason: str) -> str:
    """Return a reason in the plural.

    Example:
        >>> plural_of("class")
        'the source image is of another class'
    """
    return REASONS[reason].replace("its ", "the ")


def reasons_of(wrong: Mapping[str, Tensor], k: int) -> list[str]:
    """Return what is wrong with a prototype, in words.

    Args:
        wrong: (P,) bool for each reason.
        k: the prototype.

    Example:
        >>> import torch
        >>> reasons_of({"name": torch.tensor([False, True]), "box": torch.tensor([True, False])}, 1)
        ['its name is not that of its source image']
    """
    texts = {**REASONS, OTHER: "its source image is not among these images"}
    return [texts[reason] for reason, flags in wrong.items() if bool(flags[k])]


def notes_on(model: PrototypeModel, unknown: int = 0, rounded: int = 0) -> tuple[str, ...]:
    """Return what could not be compared, in sentences.

    Args:
        model: its prototypes were compared with their source images.
        unknown: the number of prototypes without a source image.
        rounded: the number of prototypes whose vectors are those of their source images up to rounding.
    """
    words, notes = model.traits.words, []
    if model.gallery is None:
        notes.append("The folder has no pictures, so that pictures and names were not compared.")
    if not model.traits.projects:
        notes.append(
            f"The {words.many} of {model.name} are not images themselves: the image shown is the nearest or "
            "strongest one."
        )
    elif model.traits.boxes_before_push:
        notes.append(
            "Boxes were cut from the maps before projection, which no longer exist: they were not checked."
        )
    if not isinstance(model.prototypes, VectorPrototypes):
        notes.append(f"The {words.many} of {model.name} have no vectors to compare.")
    if unknown:
        notes.append(f"{unknown} {words.many} have no source image.")
    if rounded:
        notes.append(
            f"The vectors of {rounded} {words.many} differ from their source images by as much as arithmetic of 16 "
            "bits or of a GPU leaves."
        )
    return tuple(notes)
