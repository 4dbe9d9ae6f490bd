"""A source with the images of some classes compressed as JPEG: the data of a stress test.

A model that learns from such data can take the traces of compression for a property of the classes. Source: Hoffmann et
al. 2021, "This looks like that... does it?", section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.config.training import JPEG_QUALITY
from resemblance.config.values import near
from resemblance.data.compress import compress
from resemblance.data.sources.changed import ChangedSource
from resemblance.data.sources.source import DataSplits, Source, Subset

HALF, ODD = "half", "odd"
SMALL = 32  # pixels: on smaller sides an 8×8 block of JPEG is much of the picture
SHOWN = 5


class CompressedSource(ChangedSource):
    """The images of another source, those of some classes compressed as JPEG.

    Args:
        source: the other source.
        classes: indices of the classes whose images are compressed.
        quality: of JPEG, 1 to 95.

    Example:
        >>> from resemblance.data.sources.source import ArraySource
        >>> noise = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), np.uint8)
        >>> source = CompressedSource(ArraySource(noise, [0, 1], ["cat", "dog"]), [1])
        >>> (source.array == noise).all(axis=(1, 2, 3)).tolist()
        [True, False]
    """

    def __init__(self, source: Source, classes: Sequence[int], quality: int = JPEG_QUALITY) -> None:
        super().__init__(source, partial(compress, quality=quality), f"JPEG {quality}", classes)


def choose_classes(which: Sequence[str], classes: Sequence[str], seed: int) -> tuple[int, ...]:
    """Return the indices of the classes whose images are compressed, in ascending order.

    Args:
        which: ``half`` for a half of the classes drawn at random (of three, one), ``odd`` for the classes 1, 3, 5, …
            counted from 0, as the authors' code has it, or the names of classes.
        classes: the names of all classes.
        seed: of the draw.

    Raises:
        UserError: for a name that is not among the classes, or if no class is chosen.

    Example:
        >>> choose_classes(["odd"], "abcd", 0), choose_classes(["c", "a"], "abcd", 0)
        ((1, 3), (0, 2))
        >>> len(choose_classes(["half"], "abc", 0))
        1
    """
    names, count = list(classes), len(classes)
    if list(which) == [HALF]:
        chosen = np.random.default_rng(seed).permutation(count)[: count // 2].tolist()
    elif list(which) == [ODD]:
        chosen = list(range(1, count, 2))
    else:
        for name in which:
            if name not in names:
                hint = near(name, [HALF, ODD, *names]) or "; give half, odd, or names of classes"
                raise UserError(f"--jpeg-classes: there is no class {name!r}{hint}")
        chosen = [names.index(name) for name in which]
    if not chosen:
        raise UserError(
            f"--jpeg-classes {','.join(which)}: this is none of {count} classes; name the class instead"
        )
    return tuple(sorted(set(chosen)))


def compress_classes(
    splits: DataSplits, which: Sequence[str], quality: int = JPEG_QUALITY, seed: int = 0
) -> DataSplits:
    """Return splits in which the images of some classes are compressed; name and notes say so.

    Args:
        splits: training, validation and test images.
        which: the classes; see `choose_classes`.
        quality: of JPEG, 1 to 95.
        seed: of the draw of ``half``.

    Raises:
        UserError: if no class can be chosen.
    """
    chosen = choose_classes(which, splits.classes, seed)
    named = ", ".join(splits.classes[index] for index in chosen[:SHOWN])
    more = f" and {len(chosen) - SHOWN} other classes" if len(chosen) > SHOWN else ""
    notes = [*splits.notes, f"images of {named}{more} are compressed as JPEG of quality {quality}"]
    if len(splits.train) and splits.train.shapes[:, :2].max() <= SMALL:
        notes.append("on images this small, an 8×8 block of JPEG is much of the picture")
    return replace(
        splits,
        train=CompressedSource(splits.train, chosen, quality),
        val=CompressedSource(splits.val, chosen, quality),
        test=None if splits.test is None else CompressedSource(splits.test, chosen, quality),
        name=f"{splits.name} (JPEG {quality} of {len(chosen)} classes)".replace(" 1 classes", " 1 class"),
        notes=notes,
    )


def originals(source: Source) -> tuple[Source, NDArray[np.bool_] | None]:
    """Return images as they were before those of some classes were compressed for training, and which ones were.

    Args:
        source: the images; also a subset of a `CompressedSource`.

    Returns:
        The images, and (N,) bool; the source itself and None if none was compressed.
    """
    if isinstance(source, CompressedSource):
        return source.source, source.changed
    if isinstance(source, Subset) and isinstance(source.source, CompressedSource):
        return Subset(source.source.source, source.indices), source.source.changed[source.indices]
    return source, None


def uncompressed(source: Source | None) -> Source | None:
    """Return the images of a source as they were before compression; None if none was compressed."""
    images, compressed = (None, None) if source is None else originals(source)
    return None if compressed is None else images
