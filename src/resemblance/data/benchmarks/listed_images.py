"""Image files that the tables of a data set name, with their classes and splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from resemblance.config.errors import UserError
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.benchmarks.published_files import check_listed
from resemblance.data.sources.files import open_labelled
from resemblance.data.sources.labelled_files import LabelledFile, LabelledFiles
from resemblance.data.sources.source import DataSplits
from resemblance.data.sources.tree import Folder, Tree
from resemblance.data.text import one_line


class ListedImage(NamedTuple):
    """A row of a data set's tables: the image's path, the number of its class, and its split."""

    file: str
    label: int
    part: str


def open_listed(
    request: DataRequest,
    folder: Path,
    classes: Sequence[str],
    images: Sequence[ListedImage],
    table: str,
    notes: Sequence[str] = (),
    tree: Tree | None = None,
) -> DataSplits:
    """Open image files that tables name; validation images are split off the training images if the tables have none.

    Args:
        request: what the user asks for.
        folder: the folder of the data set.
        classes: the class names, in the order of their numbers.
        images: the rows of the tables.
        table: the name of the tables, for messages.
        notes: notes so far.
        tree: the files; by default those of the folder.

    Raises:
        UserError: if images are missing or cannot be read, and are not to be left out.
    """
    kept = list(notes)
    names = [image.file for image in images]
    absent: set[str] = set()
    if tree is None:
        absent = check_listed(folder, names, table, request.skip_bad_images, kept)
        tree = Folder(folder, [name for name in names if name not in absent])
    wrong = next((image for image in images if not 0 <= image.label < len(classes)), None)
    if wrong is not None:
        raise UserError(
            f"{one_line(folder)}: {one_line(wrong.file)} has class {wrong.label + 1} of {len(classes)} classes"
        )
    parts: dict[str, list[LabelledFile]] = {"train": [], "val": [], "test": []}
    for image in images:
        if image.file not in absent:
            parts[image.part].append(LabelledFile(image.label, image.file))
    parts = {part: sorted(files) for part, files in parts.items() if files}
    if "train" not in parts:
        raise UserError(f"{one_line(folder)}: {table} names no training images")
    labelled = LabelledFiles(list(classes), parts, split=True, folders=False, notes=kept)
    return open_labelled(
        tree,
        labelled,
        request.name,
        seed=request.seed,
        val_fraction=request.val_fraction,
        skip_bad_images=request.skip_bad_images,
    )
