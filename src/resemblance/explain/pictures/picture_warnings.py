"""Find pictures of prototypes that show a reader nothing: almost blank ones, and ones that look like another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from resemblance.data.images import Pixels
from resemblance.explain.prototype_view import PrototypeView

CONTRAST = 12.0  # levels of 255 between the darkest and the brightest twentieth of the pixels: hardly visible
ALIKE = 5.0  # mean difference in levels of 255
SIDE = 12  # pixels of the copies that are compared
NAMED = 5  # prototypes that a sentence names


def blank(pixels: Pixels | None) -> bool:
    """Return whether a picture (h, w, C) has almost no contrast; False where there is none.

    Example:
        >>> blank(np.full((4, 4, 3), 40, np.uint8)), blank(np.eye(4, dtype=np.uint8)[..., None] * 255)
        (True, False)
    """
    if pixels is None:
        return False
    low, high = np.percentile(pixels.reshape(-1, pixels.shape[2]), (5, 95), axis=0)
    return bool((high - low).max() < CONTRAST)


def alike(pictures: Sequence[Pixels]) -> NDArray[np.bool_]:
    """Return which pairs of pictures are nearly equal, (N, N); none is like itself.

    Pictures of different sizes are compared as small copies of one size.

    Example:
        >>> grey = np.full((4, 4, 3), 100, np.uint8)
        >>> alike([grey, grey[:2] + 3, grey + 50])[0].tolist()
        [False, True, False]
    """
    copies = np.stack([_copy(pixels) for pixels in pictures])
    values = torch.from_numpy(copies)
    near: NDArray[np.bool_] = (torch.cdist(values, values, p=1) / values.shape[1] < ALIKE).numpy()
    np.fill_diagonal(near, False)
    return near


def _copy(pixels: Pixels) -> NDArray[np.float64]:
    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.float64).ravel()


def picture_warnings(views: Sequence[PrototypeView]) -> list[str]:
    """Return sentences about prototypes whose pictures are almost blank, or nearly equal to another's.

    Args:
        views: the prototypes that are shown, each once.

    Example:
        >>> from resemblance.prototypes.gallery import GalleryItem, Picture
        >>> grey = Picture.from_pixels(np.full((8, 8, 3), 90, np.uint8))
        >>> picture_warnings([PrototypeView(3, ("cat",), GalleryItem("training image", "a.png", None, grey))])
        ['The picture of prototype 3 is almost blank: it does not show what the model compares.']
    """
    shown = [(view, view.picture) for view in views]
    pictures = [(view, pixels) for view, pixels in shown if pixels is not None]
    sentences = []
    empty = [view for view, pixels in pictures if blank(pixels)]
    if len(empty) == 1:
        sentences.append(
            f"The picture of {empty[0].title} is almost blank: it does not show what the model compares."
        )
    elif empty:
        sentences.append(
            f"The pictures of {_named(empty)} are almost blank: they do not show what the model compares."
        )
    rest = [(view, pixels) for view, pixels in pictures if view not in empty]
    if len(rest) > 1:
        sentences += _alike([view for view, _ in rest], [pixels for _, pixels in rest])
    return sentences


def _alike(views: list[PrototypeView], pictures: list[Pixels]) -> list[str]:
    near = alike(pictures)
    twins = [view for view, row in zip(views, near, strict=True) if row.any()]
    if not twins:
        return []
    across = any(
        set(views[i].classes) != set(views[j].classes) for i, j in zip(*np.nonzero(near), strict=True)
    )
    between = ", also of different classes" if across and views[0].words.owned else ""
    if len(twins) == 2:
        return [
            f"The pictures of {_named(twins)} are nearly equal{between}: what distinguishes them is not visible."
        ]
    return [
        f"The pictures of {len(twins)} {twins[0].words.many} are nearly equal to that of another one{between} "
        f"({_named(twins)}): what distinguishes them is not visible."
    ]


def _named(views: Sequence[PrototypeView]) -> str:
    numbers = [str(view.index) for view in views[:NAMED]]
    if len(views) > NAMED:
        numbers.append(f"{len(views) - NAMED} more")
    return f"{views[0].words.many} {', '.join(numbers[:-1])} and {numbers[-1]}"
