"""Pictures of the prototypes, as data that is saved with the model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from resemblance.config.errors import UserError
from resemblance.config.files.json_file import parse_object, refuse_controls
from resemblance.printing.characters import printable
from resemblance.prototypes.gallery_html import Frame, notebook_html, pictures_html
from resemblance.prototypes.picture import LARGEST_SIDE
from resemblance.prototypes.picture import Picture as Picture

if TYPE_CHECKING:
    from resemblance.data.images import Pixels

FOLDER = "prototypes"
INDEX = f"{FOLDER}/index.json"
SHOWN = 60  # pictures in a notebook
Box = tuple[int, int, int, int]
Kind = Literal["training image", "decoded", "none"]
KINDS = ("training image", "decoded", "none")


@dataclass(frozen=True)
class GalleryItem:
    """The pictures of one prototype.

    Args:
        kind: ``training image``, ``decoded``, or ``none`` where nothing is known.
        name: name of the source image, empty if there is none.
        box: the prototype's part of the source image, right and lower edge exclusive; None for all of it. For
            projected prototypes, this is the papers' box.
        region: the part that pictures mark, where it is another one: the connected region around the maximum of the
            prototype's map. Folders of earlier versions have none.
        source: the whole source image at the model's size, shared between prototypes.
        decoding: the decoded prototype, for models that decode.
    """

    kind: Kind = "none"
    name: str = ""
    box: Box | None = None
    source: Picture | None = None
    decoding: Picture | None = None
    region: Box | None = None

    @property
    def place(self) -> Box | None:
        """The part of the source image that pictures mark and show: the region or, without one, the box."""
        return self.region or self.box

    @property
    def image(self) -> Pixels | None:
        """The whole source image, (H, W, 3) uint8."""
        return None if self.source is None else self.source.pixels()

    @property
    def decoded(self) -> Pixels | None:
        """The decoded prototype, (H, W, 3) uint8."""
        return None if self.decoding is None else self.decoding.pixels()

    @property
    def picture(self) -> Pixels | None:
        """The picture of the prototype: its decoding, or its part of the source image; (h, w, 3) uint8."""
        if self.kind == "decoded":
            return self.decoded
        image = self.image
        if image is None or self.place is None:
            return image
        x0, y0, x1, y1 = self.place
        return image[y0:y1, x0:x1]

    @property
    def framed(self) -> tuple[Picture | None, Frame | None]:
        """The picture to show in its surroundings: the decoding or the whole source, and its place in the source."""
        if self.kind == "decoded":
            return self.decoding, None
        if self.source is None or self.place is None:
            return self.source, None
        height, width = self.source.pixels().shape[:2]
        x0, y0, x1, y1 = self.place
        return self.source, (x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height)

    def __repr__(self) -> str:
        place = f" {list(self.box)}" if self.box else ""
        return f"<{self.kind} {self.name!r}{place}>" if self.name else f"<{self.kind}>"


class Gallery(Sequence[GalleryItem]):
    """One item per prototype, in the order of the prototypes.

    Example:
        >>> import numpy as np
        >>> source = Picture.from_pixels(np.zeros((8, 8, 3), dtype=np.uint8))
        >>> gallery = Gallery([GalleryItem("training image", "cat/1.png", (0, 2, 4, 8), source)] * 2)
        >>> gallery[1].picture.shape, len(gallery), sorted(gallery.to_files())
        ((6, 4, 3), 2, ['prototypes/images/0.png', 'prototypes/index.json'])
    """

    def __init__(self, items: Iterable[GalleryItem]) -> None:
        self.items = tuple(items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Gallery) and self.items == other.items

    def __hash__(self) -> int:
        return hash(self.items)

    def __repr__(self) -> str:
        return f"<gallery of {len(self)} prototypes>"

    def _repr_html_(self) -> str:
        return notebook_html(
            pictures_html((*item.framed, str(i)) for i, item in enumerate(self.items[:SHOWN]))
        )

    def keep(self, indices: Iterable[int]) -> Gallery:
        """Return the gallery of the prototypes at ``indices``, in that order."""
        return Gallery(self.items[int(index)] for index in indices)

    def to_files(self) -> dict[str, bytes]:
        """Return the gallery as files by path: an index, and each picture once."""
        files: dict[str, bytes] = {}
        names: dict[bytes, str] = {}

        def add(picture: Picture | None) -> str | None:
            if picture is None:
                return None
            if picture.data not in names:
                names[picture.data] = f"images/{len(names)}{picture.suffix}"
                files[f"{FOLDER}/{names[picture.data]}"] = picture.data
            return names[picture.data]

        entries = [
            {
                "kind": item.kind,
                "name": printable(item.name),
                "box": item.box,
                "region": item.region,
                "source": add(item.source),
                "decoding": add(item.decoding),
            }
            for item in self.items
        ]
        files[INDEX] = json.dumps({"prototypes": entries}, ensure_ascii=False, indent=1).encode("utf-8")
        return files

    @staticmethod
    def from_files(files: Mapping[str, bytes], place: str = INDEX) -> Gallery:
        """Read the files of `to_files`; pictures are decoded only on demand.

        Args:
            files: the files by path.
            place: the path of the index in messages.

        Raises:
            UserError: if the index is missing or malformed, names a missing picture, or has control characters.
        """
        pictures = {
            name.removeprefix(f"{FOLDER}/"): Picture(data) for name, data in files.items() if name != INDEX
        }
        try:
            document = parse_object(files[INDEX], place)
            refuse_controls(document, place)
            return Gallery([gallery_item(entry, pictures) for entry in document["prototypes"]])
        except KeyError as error:
            raise UserError(
                f"the prototypes' pictures are incomplete: {str(error.args[0])[:100]} is missing"
            ) from None
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{place} is damaged: {error}") from None


def gallery_item(entry: Mapping[str, Any], pictures: Mapping[str, Picture]) -> GalleryItem:
    """Read one entry of the index.

    Args:
        entry: the entry.
        pictures: the pictures by their name in the index.

    Raises:
        ValueError, TypeError: if it is malformed.
        KeyError: if it lacks a field, or names a picture that is missing.
    """
    kind, name = entry["kind"], entry["name"]
    if kind not in KINDS or not isinstance(name, str):
        raise ValueError(f"an entry has the unknown kind {repr(kind)[:100]}")
    source, decoding = (
        None if entry[field] is None else pictures[entry[field]] for field in ("source", "decoding")
    )
    return GalleryItem(kind, name, _box(entry["box"]), source, decoding, _box(entry.get("region")))


def _box(edges: Any) -> Box | None:
    if edges is None:
        return None
    whole = isinstance(edges, list) and len(edges) == 4 and all(type(edge) is int for edge in edges)
    if not whole or not (
        0 <= edges[0] < edges[2] <= LARGEST_SIDE and 0 <= edges[1] < edges[3] <= LARGEST_SIDE
    ):
        raise ValueError(f"an entry has the invalid box {repr(edges)[:100]}")
    x0, y0, x1, y1 = edges
    return x0, y0, x1, y1
