"""CelebA: aligned faces with 40 binary attributes, of which one is the class."""

from __future__ import annotations

from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.config.values import near
from resemblance.data.attributes import read_attributes
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.benchmarks.listed_images import ListedImage, open_listed
from resemblance.data.benchmarks.published_files import PublishedData, find_folder
from resemblance.data.benchmarks.published_sums import notes_on_checksums
from resemblance.data.labels.find_tables import NONE
from resemblance.data.sources.source import DataSplits
from resemblance.data.sources.tree import Archive
from resemblance.data.text import one_line, reason

FACES = "img_align_celeba"
# Besides the layout of the files, that of the authors' drive.
CELEBA = PublishedData(
    "CelebA",
    (
        ("list_attr_celeba.txt", "Anno/list_attr_celeba.txt", "list_attr_celeba.csv"),
        ("list_eval_partition.txt", "Eval/list_eval_partition.txt", "list_eval_partition.csv"),
        (FACES, f"Img/{FACES}", f"{FACES}.zip", f"Img/{FACES}.zip"),
    ),
)
ATTRIBUTES, PARTITION, IMAGES = range(3)
PARTS = {"0": "train", "1": "val", "2": "test"}
MALE = "Male"


def open_celeba(request: DataRequest) -> DataSplits:
    """Open ``celeba:DIR``: the classes are female and male, or, of another attribute, those without and with it.

    The official partition has validation images. The images are read from the folder, or from the zip archive.

    Args:
        request: its ``labels`` are the name of an attribute.

    Raises:
        UserError: for missing or damaged files, or an unknown attribute.
    """
    folder, _ = find_folder(request.place, CELEBA)
    table = read_attributes(CELEBA.path(folder, ATTRIBUTES))
    attribute = MALE if request.labels in (None, NONE) else request.labels
    if attribute not in table.names:
        hint = near(attribute, list(table.names)) or f"; choose from {', '.join(table.names)}"
        raise UserError(f"CelebA has no attribute {attribute!r}{hint}")
    has = dict(zip(table.images, table.values[:, table.names.index(attribute)].tolist(), strict=True))
    parts = _partition(CELEBA.path(folder, PARTITION))
    if parts.keys() != has.keys():
        other = min(parts.keys() ^ has.keys())
        raise UserError(
            f"{one_line(folder)}: {one_line(other)} is only in one of {CELEBA.path(folder, ATTRIBUTES).name} and "
            f"{CELEBA.path(folder, PARTITION).name}; they do not belong together"
        )
    place, tree = _images(CELEBA.path(folder, IMAGES))
    images = [ListedImage(place + file, int(has[file]), part) for file, part in parts.items()]
    notes = notes_on_checksums([CELEBA.path(folder, number) for number in (ATTRIBUTES, PARTITION)])
    if isinstance(tree, Archive):
        present = set(tree.names)
        absent = [image.file for image in images if image.file not in present]
        if absent:
            raise UserError(f"{one_line(tree.path)}: has no {absent[0]}; was it copied completely?")
        return open_listed(request, folder, _classes(attribute), images, "the partition", notes, tree)
    return open_listed(request, tree, _classes(attribute), images, "the partition", notes)


def _classes(attribute: str) -> tuple[str, str]:
    return ("female", "male") if attribute == MALE else (f"not {attribute}", attribute)


def _partition(path: Path) -> dict[str, str]:
    """Return the split of each image."""
    try:
        lines = [line.replace(",", " ").split() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{one_line(path)}: {reason(error)}") from None
    rows = [line for line in lines if line and line[0] != "image_id"]
    wrong = next((row for row in rows if len(row) != 2 or row[1] not in PARTS), None)
    if wrong is not None or not rows:
        shown = one_line(" ".join(wrong or ["nothing"]), 60)
        raise UserError(f"{one_line(path)}: has '{shown}'; expected lines of an image and 0, 1 or 2")
    return {file: PARTS[part] for file, part in rows}


def _images(path: Path) -> tuple[str, Path | Archive]:
    """Return the folder of the images in the archive or folder that has them, and this one."""
    if path.is_file():
        archive = Archive(path)
        return (f"{FACES}/" if FACES in archive.folders else ""), archive
    inner = path / FACES  # where an archive was unpacked into a folder of its own name
    return f"{FACES}/", path if inner.is_dir() else path.parent
