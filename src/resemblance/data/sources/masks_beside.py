"""Find segmentation masks that lie beside the images, and would be taken for images of a class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from resemblance.data.images import SUFFIXES
from resemblance.data.text import listed

_WORDS = "masks?|seg|segm|segmentation|ground[ _-]?truth|gt"
_AFTER = re.compile(rf"(.+?)[ _.-]+(?:{_WORDS})(?:[ _.-]?\d+)?", re.IGNORECASE)
_BEFORE = re.compile(rf"(?:{_WORDS})[ _.-]+(.+)", re.IGNORECASE)
MASK_FOLDERS = {
    *("mask", "masks", "seg", "segmentation", "segmentations", "ground_truth", "groundtruth", "gt"),
}
IMAGE_FOLDERS = "images", "image", "imgs", "img"


def masks_beside(files: Iterable[str]) -> frozenset[str]:
    """Return the files that are masks of other ones, by their names.

    A mask is called like its image, with ``mask``, ``seg``, ``segmentation``, ``gt`` or ``ground_truth`` before or
    after the name, and perhaps a number: ``1_mask.png``, ``1_mask_2.png``, ``mask-1.png`` of ``1.jpg``; or it lies in a
    folder of such a name beside the folder of the images, or in it: ``masks/1.png`` of ``images/1.jpg``.

    Args:
        files: paths with slashes.

    Example:
        >>> sorted(masks_beside(["a/1.jpg", "a/1_mask.png", "a/2_mask.png", "b/masks/3.png", "b/images/3.jpg"]))
        ['a/1_mask.png', 'b/masks/3.png']
    """
    paths = [file for file in files if file.lower().endswith(SUFFIXES)]
    stems = {path.rpartition(".")[0].casefold() for path in paths}
    return frozenset(path for path in paths if _is_mask(path.rpartition(".")[0].casefold(), stems))


def note_on_masks(masks: Sequence[str]) -> list[str]:
    """Return a note that masks were left out; none if there are none."""
    if not masks:
        return []
    one = len(masks) == 1
    return [
        f"{len(masks)} segmentation mask{'' if one else 's'} beside the images left out: {listed(sorted(masks), 3)}; "
        f"rename {'it if it is an image' if one else 'them if they are images'}"
    ]


def _is_mask(stem: str, stems: set[str]) -> bool:
    folder, slash, name = stem.rpartition("/")
    for pattern in (_AFTER, _BEFORE):
        match = pattern.fullmatch(name)
        if match and f"{folder}{slash}{match[1]}" in stems:
            return True
    if MASK_FOLDERS.isdisjoint(folders := folder.split("/")):
        return False
    names = [name, *(match[1] for pattern in (_AFTER, _BEFORE) if (match := pattern.fullmatch(name)))]
    for number, word in enumerate(folders):
        if word in MASK_FOLDERS:
            places = [[*folders[:number], other, *folders[number + 1 :]] for other in IMAGE_FOLDERS]
            places.append(folders[:number] + folders[number + 1 :])
            if any("/".join([*place, other]) in stems for place in places for other in names):
                return True
    return False
