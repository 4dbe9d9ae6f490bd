"""Open the image files of a folder or an archive: find their classes, check them all, and split them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resemblance.config.errors import UserError
from resemblance.data.formats.levels import UnknownRange, Window
from resemblance.data.labels.label_files import label_files
from resemblance.data.sources.file_source import FileSource
from resemblance.data.sources.grouped_split import separated_groups
from resemblance.data.sources.labelled_files import LabelledFile, LabelledFiles
from resemblance.data.sources.notes import (
    on_copies,
    on_copies_across,
    on_pages,
    on_plain,
    on_values,
    unknown_ranges,
)
from resemblance.data.sources.source import DataSplits, Source, Subset
from resemblance.data.sources.split import complete
from resemblance.data.sources.tree import Tree
from resemblance.data.text import listed


def open_files(
    tree: Tree,
    name: str,
    *,
    seed: int,
    val_fraction: float,
    skip_bad_images: bool,
    labels: str | None = None,
    window: Window | None = None,
) -> DataSplits:
    """Open image files whose classes are their folders, or are named by a table.

    Args:
        tree: the files.
        name: the name of the data.
        seed: the seed of the validation split, if it is drawn.
        val_fraction: its share of the training images.
        skip_bad_images: whether to leave out what cannot be read.
        labels: a table, ``none`` or None, as for `labels.label_files.label_files`.
        window: the values that become black and white in images of more than 8 bits.

    Raises:
        UserError: for another layout or a table that does not fit; unless bad images are to be skipped, also for an
            empty class folder or an image that cannot be read.
    """
    labelled = label_files(tree, name, labels, skip_bad_images)
    return open_labelled(
        tree,
        labelled,
        name,
        seed=seed,
        val_fraction=val_fraction,
        skip_bad_images=skip_bad_images,
        window=window,
    )


def open_labelled(
    tree: Tree,
    labelled: LabelledFiles,
    name: str,
    *,
    seed: int,
    val_fraction: float,
    skip_bad_images: bool,
    window: Window | None = None,
) -> DataSplits:
    """Open image files whose classes are known; see `open_files`."""
    notes = list(labelled.notes)
    sources: dict[str, Source] = {}
    files: list[FileSource] = []
    for part, entries in labelled.parts.items():
        files.append(_source(tree, entries, labelled, window))
        sources[part] = _readable(files[-1], part if labelled.split else "", skip_bad_images, notes)
    notes += _on_images(files, window)
    notes += on_copies(sources)
    counts = np.bincount(sources["train"].labels, minlength=len(labelled.classes))
    empty = [class_name for class_name, count in zip(labelled.classes, counts, strict=True) if count == 0]
    if empty:
        if not skip_bad_images:
            what = "class folder" if labelled.folders else "class"
            raise UserError(
                f"{name}: {what} {empty[0]!r} contains no {'' if labelled.folders else 'training '}images; remove it, "
                "or leave it out with --skip-bad-images"
            )
        sources = _without(sources, empty, name, notes)
    for part in [part for part, source in sources.items() if not len(source)]:
        notes.append(f"the {part} folder contains no images and is ignored")
        del sources[part]
    notes += _on_absent(sources)
    notes += separated_groups(sources, labelled.groups)
    splits = complete(
        sources, name, notes, seed=seed, val_fraction=val_fraction, hold_test=not labelled.split
    )
    splits.notes += on_copies_across(splits)
    splits.window = window
    return splits


def _source(
    tree: Tree, entries: Sequence[LabelledFile], labelled: LabelledFiles, window: Window | None
) -> FileSource:
    source = FileSource(
        tree, [one.file for one in entries], [one.label for one in entries], labelled.classes, window
    )
    if labelled.groups:
        source.groups = np.array([one.group for one in entries], dtype=np.int64)
    return source


def _readable(source: FileSource, part: str, skip: bool, notes: list[str]) -> Source:
    bad = source.check()
    if not bad:
        return source
    unknown = [error for error in bad.values() if isinstance(error, UnknownRange)]
    reasons = [str(error) for error in bad.values()]
    if not skip:
        if len(unknown) > 1 or isinstance(next(iter(bad.values())), UnknownRange):
            raise unknown_ranges(source.name(next(i for i in bad if bad[i] in unknown)), unknown)
        more = f" ({len(bad) - 1} more bad file{'s' if len(bad) > 2 else ''})" if len(bad) > 1 else ""
        raise UserError(f"{reasons[0]}{more}; repair or remove it, or use --skip-bad-images")
    count = "1 image" if len(bad) == 1 else f"{len(bad)} images"
    notes.append(f"{count} skipped{' in ' + part if part else ''}: {listed(reasons)}")
    return Subset(source, np.array([i for i in range(len(source)) if i not in bad], dtype=np.int64))


def _on_images(sources: Sequence[FileSource], window: Window | None) -> list[str]:
    """Return the notes on what is special about the images of all splits together."""

    def names(which: str) -> list[str]:
        return [source.name(index) for source in sources for index in getattr(source, which)]

    values = {source.name(i): one for source in sources for i, one in source.values.items()}
    images = sum(map(len, sources))
    return [
        *on_values(values, window, images),
        *on_pages(names("pages"), names("bands")),
        *on_plain(names("plain")),
    ]


def _on_absent(sources: dict[str, Source]) -> list[str]:
    """Return a note for each split without images of some classes."""
    notes = []
    for part in [part for part in ("train", "val", "test") if part in sources]:
        source = sources[part]
        counts = np.bincount(source.labels, minlength=len(source.classes))
        if not counts.all():
            absent = [source.classes[label] for label in np.flatnonzero(counts == 0)]
            notes.append(f"no {part} images of {listed(absent)}")
    return notes


def _without(sources: dict[str, Source], empty: list[str], name: str, notes: list[str]) -> dict[str, Source]:
    """Return the images of the other classes, with new class numbers."""
    before = sources["train"].classes
    left_out = set(empty)
    classes = tuple(class_name for class_name in before if class_name not in left_out)
    if len(classes) < 2:
        raise UserError(f"{name}: fewer than two classes have readable images; training needs two")
    numbers = {class_name: label for label, class_name in enumerate(classes)}
    renumbered = np.array([numbers.get(class_name, -1) for class_name in before])
    kept: dict[str, Source] = {}
    for part, source in sources.items():
        subset = Subset(source, np.flatnonzero(renumbered[source.labels] >= 0))
        subset.classes, subset.labels = classes, renumbered[subset.labels]
        kept[part] = subset
    lost = sum(len(source) for source in sources.values()) - sum(len(source) for source in kept.values())
    also = f", also their {lost} images in the other splits" if lost else ""
    count = "1 class" if len(empty) == 1 else f"{len(empty)} classes"
    notes.append(f"{count} without training images left out: {listed(empty)}{also}")
    return kept
