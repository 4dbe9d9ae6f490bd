"""What the readers of benchmark data sets are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataRequest:
    """What the user asks for.

    Args:
        kind: the word before the colon.
        place: the folder after it.
        name: both, for messages.
        seed: of the validation split, where the data has none.
        val_fraction: its share of the training images.
        skip_bad_images: whether missing and unreadable images are left out.
        labels: another choice of classes, where the data has several.
    """

    kind: str
    place: Path
    name: str
    seed: int = 0
    val_fraction: float = 0.1
    skip_bad_images: bool = False
    labels: str | None = None
