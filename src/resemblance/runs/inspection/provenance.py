"""Describe where the prototypes of a model folder come from, and compare pictures, index and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.config.files.json_file import parse_object, refuse_controls
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.printing.characters import printable
from resemblance.prototypes.gallery import FOLDER, INDEX, GalleryItem, Picture, gallery_item
from resemblance.runs.inspection.findings import Findings, named
from resemblance.runs.inspection.model_files import FileState
from resemblance.runs.inspection.tensor_file import TensorFile
from resemblance.store import TENSORS

LAYER = "prototypes."  # the names of the tensors of a prototype layer begin with it
OWNERS = f"{LAYER}owners"


@dataclass(frozen=True)
class Provenance:
    """Where the prototypes of a model come from.

    Args:
        prototypes: their number.
        source_image: those with a source image, by the weights; None if these do not say.
        named: those with the name of a source image.
        boxes: those that are a part of their source image; the others are whole images, or decoded.
        pictures: those with a picture.
        decoded: those with a decoded picture.
        other_class: those of one class whose source image, by its name, lies in the folder of another class; None if
            the names do not say. Some methods choose sources among all classes.
        unused: those that are the most similar to no training image; None if usage was not counted.
        picture_files: the number of stored pictures.
        matching_files: those of them that match their checksum.
        tied: whether the weights, the index and all pictures match the checksums that config.json lists together.
    """

    prototypes: int
    source_image: int | None
    named: int
    boxes: int
    pictures: int
    decoded: int
    other_class: int | None
    unused: int | None
    picture_files: int
    matching_files: int
    tied: bool

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return asdict(self)


def read_provenance(
    folder: Path,
    states: Sequence[FileState],
    tensors: TensorFile | None,
    spec: ModelSpec | None,
    findings: Findings,
) -> Provenance | None:
    """Read the index and the pictures of the prototypes, and compare them with the weights.

    Args:
        folder: the model folder.
        states: its files.
        tensors: its weights; None if they cannot be read.
        spec: the classes and images of the model; None if they are not known.
        findings: receives what is wrong.

    Returns:
        The provenance; None for a model without prototypes.
    """
    image = None if spec is None else spec.image
    readable = {
        state.name for state in states if state.sha256 is not None and state.name.startswith(f"{FOLDER}/")
    }
    files = {name: (folder / name).read_bytes() for name in readable}
    pictures = {
        name.removeprefix(f"{FOLDER}/"): Picture(data) for name, data in files.items() if name != INDEX
    }
    owners = None if tensors is None else tensors.read(OWNERS)
    if owners is not None and owners.ndim != 2:
        owners = None
    count = None if owners is None else len(owners)
    if INDEX not in files and not pictures and not count:
        return None
    items = _read_index(files.get(INDEX), pictures, findings)
    if count and not items and not (folder / INDEX).exists():
        says = f"the weights have {count} prototypes, but the folder has no pictures of them ({INDEX} is missing)"
        findings.add("missing", INDEX, says)
    if count is not None and INDEX in files and len(items) != count:
        says = f"the weights have {count} prototypes, but {INDEX} describes {len(items)}"
        findings.add("contradiction", INDEX, says)
    _check_pictures(pictures, items, image, findings)
    known = _of_weights(tensors)
    if items and count == len(items):
        _compare(items, known, image, findings)
    index, activations = known.get("source_index"), known.get("activations")
    counted = activations is not None and bool((activations >= 0).all())
    listed = [state for state in states if state.name.startswith(f"{FOLDER}/")]
    stored = [state for state in listed if state.name != INDEX]
    together = [*listed, *(state for state in states if state.name == TENSORS)]
    present = [item for item in items if item is not None]
    return Provenance(
        prototypes=len(items) if count is None else count,
        source_image=None if index is None else int((index >= 0).sum()),
        named=sum(bool(item.name) for item in present),
        boxes=sum(item.box is not None for item in present),
        pictures=sum(item.source is not None or item.decoding is not None for item in present),
        decoded=sum(item.kind == "decoded" for item in present),
        other_class=None if spec is None else _of_other_classes(items, owners, spec.classes),
        unused=int((activations == 0).sum()) if activations is not None and counted else None,
        picture_files=len(stored),
        matching_files=sum(state.state == "matches" for state in stored),
        tied=len(together) > 1 and all(state.state == "matches" for state in together),
    )


def _of_other_classes(
    items: Sequence[GalleryItem | None], owners: NDArray[Any] | None, classes: tuple[str, ...]
) -> int | None:
    """Count the prototypes of one class whose source image lies in the folder of another class."""
    if owners is None or owners.shape != (len(items), len(classes)):
        return None
    known = {name: index for index, name in enumerate(classes)}
    own = [
        bool(row[folders.pop()])
        for item, row in zip(items, owners, strict=True)
        if item is not None and row.sum() == 1
        # Folders between which the name does not decide say nothing.
        if len(folders := {known[part] for part in item.name.split("/")[:-1] if part in known}) == 1
    ]
    return own.count(False) if own else None


def _read_index(
    content: bytes | None, pictures: Mapping[str, Picture], findings: Findings
) -> list[GalleryItem | None]:
    """Return the entries of the index; None for each that is malformed."""
    if content is None:
        return []
    document = findings.trying("unreadable", INDEX, lambda: parse_object(content, INDEX))
    if document is None:
        return []
    findings.trying("unreadable", INDEX, lambda: refuse_controls(document, INDEX))
    entries = document.get("prototypes")
    if not isinstance(entries, list):
        findings.add("unreadable", INDEX, f"{INDEX} has no list of prototypes")
        return []
    items: list[GalleryItem | None] = []
    broken: dict[str, list[str]] = {}
    for number, entry in enumerate(entries):
        try:
            items.append(gallery_item(entry, pictures))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            missing = isinstance(error, KeyError)
            reason = f"{printable(error.args[0])[:100]} is missing" if missing else printable(error)[:150]
            broken.setdefault(reason, []).append(str(number))
            items.append(None)
    for reason, numbers in broken.items():
        findings.add("unreadable", INDEX, f"{INDEX}, prototype {named(numbers)}: {reason}")
    return items


def _check_pictures(
    pictures: Mapping[str, Picture],
    items: Sequence[GalleryItem | None],
    image: ImageSpec | None,
    findings: Findings,
) -> None:
    """Decode each picture, and compare its size with that of the images that the model reads."""
    used = {id(picture) for item in items if item for picture in (item.source, item.decoding) if picture}
    for name, picture in sorted(pictures.items()):
        file = f"{FOLDER}/{name}"
        shown = printable(file)
        try:
            height, width = picture.pixels().shape[:2]
        except UserError as error:
            findings.add("unreadable", file, f"{shown}: {error}")
            continue
        if image is not None and (height, width) != image.size:
            says = f"{shown} has {height}×{width} pixels, but the model reads {image.height}×{image.width}"
            findings.add("contradiction", file, says)
        if items and all(items) and id(picture) not in used:
            findings.add("foreign", file, f"{shown} is the picture of no prototype")


def _of_weights(tensors: TensorFile | None) -> dict[str, NDArray[Any]]:
    """Return what the weights say of the prototypes: their source images, boxes and usage."""
    if tensors is None:
        return {}
    shapes = {"source_index": 1, "source_box": 2, "activations": 1}
    arrays = {name: tensors.read(LAYER + name) for name in shapes}
    return {
        name: np.asarray(array)
        for name, array in arrays.items()
        if array is not None and array.ndim == shapes[name] and array.dtype.kind == "i"
    }


def _compare(
    items: Sequence[GalleryItem | None],
    known: Mapping[str, NDArray[Any]],
    image: ImageSpec | None,
    findings: Findings,
) -> None:
    """Compare the index, prototype by prototype, with what the weights say of source images and boxes."""
    indices, boxes = known.get("source_index"), known.get("source_box")
    if indices is None or len(indices) != len(items):
        return
    wrong: dict[str, list[str]] = {}
    first: dict[int, tuple[int, GalleryItem]] = {}
    for number, (item, index) in enumerate(zip(items, indices.tolist(), strict=True)):
        if item is None:
            continue
        if (index >= 0) != (item.source is not None):
            says = "the weights name a source image, but the index has no picture of it, or the reverse"
            wrong.setdefault(says, []).append(str(number))
        if index < 0:
            continue
        earlier, other = first.setdefault(index, (number, item))
        if (item.name, item.source) != (other.name, other.source):
            says = (
                "the same source image by the weights, but another name or picture in the index, as prototype"
            )
            wrong.setdefault(f"{says} {earlier}", []).append(str(number))
        if boxes is not None and image is not None and boxes.shape == (len(items), 4):
            whole = (0, 0, image.width, image.height)
            if tuple(boxes[number].tolist()) != (item.box or whole):
                wrong.setdefault("the box in the index is not that in the weights", []).append(str(number))
    for says, numbers in wrong.items():
        findings.add("contradiction", INDEX, f"{INDEX}, prototype {named(numbers)}: {says}")
