"""Notes on the files of a data set: copies, single colours, pages, and values of more than 8 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from resemblance.data.formats.levels import UnknownRange, ValueRange, Window
from resemblance.data.sources.source import DataSplits, Source
from resemblance.data.text import listed

NARROW = 1 << 14  # 16-bit images that span fewer values have fewer than 64 shades
SHADE = 257  # values of 16 bits that become one of 256 shades


def on_values(values: Mapping[str, ValueRange], window: Window | None, images: int) -> list[str]:
    """Return notes on images of more than 8 bits: few shades, windows of their own, a window without effect.

    Args:
        values: image → range of its values.
        window: the window that was given.
        images: the number of all images.
    """
    if window is not None:
        return [] if values or not images else ["the window has no effect: all images have 8 bits"]
    own = {name: one for name, one in values.items() if one.own}
    notes = []
    windows = sorted({(one.black, one.white) for one in own.values()})
    if len(windows) > 1:
        first, last = (f"{low:g},{high:g}" for low, high in (windows[0], windows[-1]))
        notes.append(
            f"{len(own)} DICOM images are read with {len(windows)} windows of their files ({first} to {last}); "
            "a model trained with --window LOW,HIGH reads all alike"
        )
    rest = {name: one for name, one in values.items() if not one.own}
    if not rest:
        return notes
    low, high = min(one.low for one in rest.values()), max(one.high for one in rest.values())
    range_of_type = max(one.white - one.black for one in rest.values())
    if (high - low) * 4 >= range_of_type:
        return notes
    shades = max(int((high - low) * 255 / range_of_type) + 1, 1)
    example = next(name for name, one in rest.items() if one.high == high)
    cure = f"trained with --window {low:g},{high:g}, a model sees all 256"
    cure = cure if low < high else "all have a single value"
    return [
        *notes,
        f"{len(rest)} images of more than 8 bits have values from {low:,g} to {high:,g} ({example}) of "
        f"{range_of_type + 1:,g}, and so only {shades} of 256 shades: {cure}",
    ]


def unknown_ranges(name: str, errors: Sequence[UnknownRange]) -> UnknownRange:
    """Return one error for images of which only a window can tell black and white.

    Args:
        name: the first of them.
        errors: the error of each.
    """
    if len(errors) == 1:
        return errors[0]
    low, high = min(error.low for error in errors), max(error.high for error in errors)
    kinds = listed(sorted({error.kind for error in errors}), 3)
    return UnknownRange(f"{name} and others: {len(errors)} images have {kinds}", kinds, low, high)


def on_pages(pages: Sequence[str], bands: Sequence[str]) -> list[str]:
    """Return notes on files of several pages or frames, and on those of two bands, of which the first is read."""
    notes = []
    if pages:
        what = "1 file has" if len(pages) == 1 else f"{len(pages)} files have"
        notes.append(
            f"{what} several pages or frames, of which the first is read: {listed(pages, 3)}; save the one that "
            "matters as a file of its own"
        )
    if bands:
        what = "1 file has" if len(bands) == 1 else f"{len(bands)} files have"
        notes.append(f"{what} two bands, of which the first is read: {listed(bands, 3)}")
    return notes


def on_plain(plain: Sequence[str]) -> list[str]:
    """Return a note on images of a single colour."""
    if not plain:
        return []
    what = "1 image has" if len(plain) == 1 else f"{len(plain)} images have"
    return [f"{what} one colour: {listed(plain, 3)}"]


def on_copies(sources: Mapping[str, Source]) -> list[str]:
    """Return notes on files with the same contents: within a split, and in another class.

    Args:
        sources: the images of each split that the data brings.
    """
    notes = []
    for part, source in sources.items():
        if source.contents is None or not len(source):
            continue
        _, first, inverse, counts = np.unique(
            source.contents, return_index=True, return_inverse=True, return_counts=True
        )
        copies = np.flatnonzero((counts[inverse] > 1) & (first[inverse] != np.arange(len(source))))
        if not len(copies):
            continue
        pairs = [f"{source.name(int(i))} = {source.name(int(first[inverse[i]]))}" for i in copies[:3]]
        more = f" and {len(copies) - 3} more" if len(copies) > 3 else ""
        others = int((source.labels[copies] != source.labels[first[inverse[copies]]]).sum())
        classes = f", {others} of them in another class" if others else ""
        where = "" if len(sources) == 1 else f" in {part}"
        what = (
            "1 file is a copy of another" if len(copies) == 1 else f"{len(copies)} files are copies of others"
        )
        notes.append(f"{what}{where}{classes}: {', '.join(pairs)}{more}")
    return notes


def on_copies_across(splits: DataSplits) -> list[str]:
    """Return a note on validation and test images whose file is also a training image."""
    if splits.train.contents is None:
        return []
    shown, example = [], ""
    for part, source in (("validation", splits.val), ("test", splits.test)):
        if source is None or source.contents is None:
            continue
        copies = np.flatnonzero(np.isin(source.contents, splits.train.contents))
        if len(copies):
            shown.append(f"{len(copies)} {part} image{'' if len(copies) == 1 else 's'}")
            example = example or source.name(int(copies[0]))
    if not shown:
        return []
    verb = "is a copy" if shown[0].startswith("1 ") and len(shown) == 1 else "are copies"
    return [
        f"{' and '.join(shown)} {verb} of training images ({example}), so that the accuracy will be too high; remove "
        "the copies, or give each set of copies one group in a table (--labels)"
    ]
