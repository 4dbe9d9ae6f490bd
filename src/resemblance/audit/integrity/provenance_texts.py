"""What the check "provenance" says."""

from __future__ import annotations

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
MEANING = (
    "The source image of each prototype is read and embedded again, and compared with what the folder holds: vector, "
    "place, class, picture and name. Checksums show that a folder was not changed by accident; they do not show that "
    "its pictures are those of its prototypes."
)
CURE = (
    "Do not show these pictures as explanations. If nearly all fail, check that the data are those that the model was "
    "trained with (--data); otherwise get the folder from its author again, or train again."
)


def reason_of(reason: str) -> str:
    """Return a reason in the plural.

    Example:
        >>> reason_of("class")
        'the source image is of another class'
    """
    return REASONS[reason].replace("its ", "the ")
