"""Open annotated regions by a text such as the command line takes."""

from __future__ import annotations

from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.data.regions.box_table import read_boxes
from resemblance.data.regions.cub_parts import cub_parts
from resemblance.data.regions.mask_files import TRIMAP, MaskFiles
from resemblance.data.regions.reader import RegionReader
from resemblance.data.sources.source import Source
from resemblance.data.text import one_line

KINDS = ("masks", "trimaps", "boxes", "cub", "cub-crops")


def open_regions(text: str, source: Source) -> RegionReader:
    """Open the regions of a source's images.

    Args:
        text: ``masks:PATH`` (a folder or zip archive of files in which pixels above 0 are inside), ``trimaps:PATH``
            (the same, with 1 inside, as in Oxford-IIIT Pet), ``boxes:FILE.csv``, ``cub:PATH`` (parts), or
            ``cub-crops:PATH`` (parts in images that are cropped to the bird). The name of the file is that of the
            region.
        source: the images.

    Raises:
        UserError: for another text, or files that cannot be read or do not fit the images.
    """
    kind, colon, place = text.partition(":")
    if not colon or not place or kind not in KINDS:
        raise UserError(
            f"regions {one_line(text, 60)!r}: expected KIND:PATH, where KIND is {', '.join(KINDS)}"
        )
    path = Path(place).expanduser()
    if kind == "masks":
        return MaskFiles(source, path, name=path.stem)
    if kind == "trimaps":
        return MaskFiles(source, path, values=TRIMAP, name=path.stem)
    if kind == "boxes":
        return read_boxes(source, path, name=path.stem)
    return cub_parts(source, path, cropped=kind == "cub-crops")
