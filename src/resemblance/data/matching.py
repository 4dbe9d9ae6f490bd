"""Match annotations to images by their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from resemblance.config.errors import UserError
from resemblance.data.images import SUFFIXES
from resemblance.data.sources.source import Source
from resemblance.data.text import composed, listed, one_line


class Matches(NamedTuple):
    """The annotations of the images of a source.

    Args:
        rows: for each image the number of its annotation, or None.
        missing: indices of the images without any.
        notes: messages for the user: how many images have no annotation.
    """

    rows: list[int | None]
    missing: tuple[int, ...]
    notes: list[str]


def match_names(source: Source, names: Sequence[str], where: str, what: str) -> Matches:
    """Match the images of a source to annotations by path, without the suffixes of image files.

    Paths match if one ends with the other, folder by folder: ``train/cats/1.jpg`` and ``pets/train/cats/1.png``. If
    several match, the one with the same folders does, and of these the one with the same suffix.

    Args:
        source: the images.
        names: the paths of the annotations.
        where: the file or folder of the annotations, for messages.
        what: what they are, for messages, in the singular.

    Raises:
        UserError: if an image has several annotations, several images have the same, or no image has any.

    Example:
        >>> import numpy as np
        >>> from resemblance.data.sources.source import ArraySource
        >>> source = ArraySource(np.zeros((2, 8, 8, 1), np.uint8), [0, 0], ["cat"])
        >>> match_names(source, ["masks/image #1.png"], "masks.zip", "mask")[:2]
        ([None, 0], (0,))
    """
    by_name: defaultdict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
    for row, name in enumerate(names):
        parts = _parts(name)
        by_name[parts[-1]].append((parts, row))
    rows: list[int | None] = []
    images: dict[int, str] = {}
    for index in range(len(source)):
        parts = _parts(source.name(index))
        candidates = [(other, row) for other, row in by_name[parts[-1]] if _same_end(parts, other)]
        if len(candidates) > 1:
            candidates = [(other, row) for other, row in candidates if other == parts] or candidates
        if len(candidates) > 1:
            same = [(other, row) for other, row in candidates if names[row] == source.name(index)]
            candidates = same or candidates
        if len(candidates) > 1:
            found = listed([names[row] for _, row in candidates], 2)
            raise UserError(
                f"{one_line(where)}: several annotations fit the image {one_line(source.name(index))}: {found}; "
                "name them with the folders of the images"
            )
        rows.append(candidates[0][1] if candidates else None)
        if candidates and images.setdefault(candidates[0][1], source.name(index)) != source.name(index):
            name = names[candidates[0][1]]
            raise UserError(
                f"{one_line(where)}: {one_line(name)} fits several images: {images[candidates[0][1]]}, "
                f"{source.name(index)}; name it with the folders of its image"
            )
    missing = tuple(index for index, row in enumerate(rows) if row is None)
    if rows and len(missing) == len(rows):
        example = f", for instance {one_line(names[0])}" if names else ""
        raise UserError(
            f"{one_line(where)}: none of its {len(names)} names{example} fits an image; expected names like "
            f"{one_line(source.name(0))}, with any suffix of images or none"
        )
    notes = []
    if missing:
        one = len(missing) == 1
        count = "1 image has" if one else f"{len(missing)} of {len(rows)} images have"
        shown = listed([source.name(index) for index in missing])
        notes.append(f"{one_line(where)}: {count} no {what} and {'is' if one else 'are'} left out: {shown}")
    return Matches(rows, missing, notes)


def _parts(name: str) -> tuple[str, ...]:
    """Return the folders and the file name of a path, without the suffix of an image file."""
    parts = [part for part in composed(name).replace("\\", "/").split("/") if part not in ("", ".")] or [name]
    if parts[-1].lower().endswith(SUFFIXES):
        parts[-1] = parts[-1].rpartition(".")[0]
    return tuple(parts)


def _same_end(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    length = min(len(first), len(second))
    return first[-length:] == second[-length:]
