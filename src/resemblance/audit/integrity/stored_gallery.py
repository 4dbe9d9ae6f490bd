"""The pictures, names and boxes that a model folder holds, compared with the training images and the tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resemblance.audit.integrity.source_pictures import COMPRESSED, DECODERS, same_picture
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.images import Pixels
from resemblance.data.sources.source import Source
from resemblance.printing.characters import printable
from resemblance.prototypes.gallery import GalleryItem, Picture
from resemblance.training.ends.gallery import decode

COARSE = 4  # cells per side, whose means tell most pictures apart


def item_of(model: PrototypeModel, k: int) -> GalleryItem | None:
    """Return what the folder shows of a prototype; None for a model without pictures."""
    return None if model.gallery is None else model.gallery[k]


def wrong_items(
    model: PrototypeModel, train: Source, images: Sequence[Pixels], pairs: Tensor
) -> dict[str, Tensor]:
    """Return what is wrong with the pictures, names and boxes of prototypes with a source image.

    Args:
        model: with its pictures; without any, nothing is wrong.
        train: the training images.
        images: some of them at the model's size, (H, W, 1 or 3) uint8.
        pairs: (n, 2), an image and a prototype that comes from it.

    Returns:
        ``picture``, ``name`` and ``box``, (n,) bool each.
    """
    wrong = {name: torch.zeros(len(pairs), dtype=torch.bool) for name in ("picture", "name", "box")}
    whole = (0, 0, model.spec.image.width, model.spec.image.height)
    index, boxes = model.prototypes.source_index.tolist(), model.prototypes.source_box.tolist()
    for number, (row, k) in enumerate(pairs.tolist()):
        item = item_of(model, k)
        if item is None:
            continue
        # A decoded picture would be shown in place of the source image.
        kind = (
            item.kind == "decoded"
            if model.traits.decodes
            else (item.kind, item.decoding) == ("training image", None)
        )
        wrong["picture"][number] = (
            not kind or item.source is None or not same_picture(item.source, images[row])
        )
        wrong["name"][number] = item.name != printable(train.name(index[k]))
        wrong["box"][number] = (item.box or whole) != tuple(boxes[k])
    return wrong


def wrong_decodings(model: PrototypeModel) -> Tensor:
    """Return which prototypes do not decode to the pictures that the folder shows, (P,) bool."""
    now = decode(model, model.prototypes)
    items = [item_of(model, k) for k in range(len(now))]
    return torch.tensor(
        [
            item is None or item.decoding is None or not same_picture(item.decoding, fresh.pixels())
            for item, fresh in zip(items, now, strict=True)
        ]
    )


def pictured(model: PrototypeModel) -> Tensor:
    """Return which prototypes have any picture of a training image, (P,) bool."""
    items = [item_of(model, k) for k in range(len(model.prototypes))]
    shown = [
        item is not None and (item.source is not None or item.kind == "training image") for item in items
    ]
    return torch.tensor(shown)


def images_shown(pictures: Sequence[Picture], batches: Iterable[Sequence[Pixels]]) -> list[int]:
    """Return the number of the image that each stored picture shows, wherever that image stands; −1 if none.

    Args:
        pictures: the stored pictures.
        batches: of images at the model's size, (H, W, 1 or 3) uint8 each.

    Example:
        >>> black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
        >>> images_shown([Picture.from_pixels(white), Picture.from_pixels(black[:4])], [[black], [white]])
        [1, -1]
    """
    shown = [-1] * len(pictures)
    if not pictures:
        return shown
    means = np.stack([_coarse(stored.pixels()) for stored in pictures])
    for number, image in enumerate(image for images in batches for image in images):
        # The mean of a cell differs by at most as much as its pixels, or as the blocks of a JPEG file.
        near = np.abs(means - _coarse(image)).max(axis=1) <= COMPRESSED + DECODERS
        for position in np.flatnonzero(near).tolist():
            if shown[position] < 0 and same_picture(pictures[position], image):
                shown[position] = number
    return shown


def _coarse(pixels: Pixels) -> NDArray[np.float64]:
    """Return the brightness of a few large cells of a picture (H, W, 1 or 3), for a first comparison."""
    rows, columns = (np.linspace(0, side, COARSE, endpoint=False).astype(int) for side in pixels.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(pixels.mean(axis=2), rows, axis=0), columns, axis=1)
    counts = np.diff([*rows, pixels.shape[0]])[:, None] * np.diff([*columns, pixels.shape[1]])
    means: NDArray[np.float64] = (sums / counts).ravel()
    return means
