"""Masks as image files, one per image, in a folder or an archive."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data.images import FORMATS, SUFFIXES
from resemblance.data.matching import match_names
from resemblance.data.regions.reader import RegionReader
from resemblance.data.regions.regions import Regions
from resemblance.data.sources.source import Source
from resemblance.data.sources.tree import open_tree
from resemblance.data.text import one_line, reason

TRIMAP = (1,)  # the animal; 2 is background, 3 the border or not classified


class MaskFiles(RegionReader):
    """Masks in image files that are named like the images.

    Files are read when a batch asks for them. Palette files hold numbers, not colours.

    Args:
        source: the images.
        path: a folder or a zip archive.
        values: the values of the pixels inside; by default all above ``above``.
        above: a value below the values inside; 0 by default.
        name: the name of the region.

    Raises:
        UserError: if there are no masks, none fits an image, or, when a batch is read, a mask cannot be read or has
            another size than its image.

    Example:
        >>> from resemblance.data.sources.source import ArraySource
        >>> import tempfile
        >>> source = ArraySource(np.zeros((1, 4, 4, 1), np.uint8), [0], ["cat"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(np.eye(4, dtype=np.uint8)).save(Path(folder) / "image #0.png")
        ...     reader = MaskFiles(source, Path(folder), name="cat")
        ...     reader.batch([0], ImageSpec(4, 4, 1, (0.5,), (0.5,))).masks.sum().item()
        4
    """

    kind = "masks"

    def __init__(
        self,
        source: Source,
        path: Path,
        *,
        values: Sequence[int] | None = None,
        above: int = 0,
        name: str = "object",
    ) -> None:
        self.source, self.values, self.above, self.names = source, values, above, (name,)
        self.tree = open_tree(path, "masks")
        self.files = [file for file in self.tree.names if file.lower().endswith(SUFFIXES)]
        if not self.files:
            raise UserError(f"{one_line(path)}: contains no image files; expected one mask per image")
        matches = match_names(source, self.files, str(path), "mask")
        self.rows, self.missing, self.notes = matches.rows, matches.missing, matches.notes

    def batch(self, indices: Sequence[int], spec: ImageSpec) -> Regions:
        """Return the masks of the images at ``indices``, at the size that the model reads."""
        masks = np.zeros((len(indices), *spec.size), dtype=bool)
        visible = np.zeros((len(indices), 1), dtype=bool)
        for row, index in enumerate(int(index) for index in indices):
            file = self.rows[index]
            if file is not None:
                mask = self._read(self.files[file], index)
                masks[row] = self.preparation(index, spec).mask_to_input(mask)
                visible[row] = masks[row].any()
        return Regions(
            spec.size, masks=torch.from_numpy(masks), visible=torch.from_numpy(visible), names=self.names
        )

    def _read(self, file: str, index: int) -> NDArray[np.bool_]:
        shown = self.tree.shown(file)
        try:
            with Image.open(io.BytesIO(self.tree.read(file)), formats=FORMATS) as image:
                plain = image.mode in ("1", "L", "P", "I", "I;16")
                pixels = np.asarray(image if plain else image.convert("L"))
        except UserError:
            raise
        except Exception as error:  # decoders raise OSError, SyntaxError, ValueError and more
            raise UserError(f"{shown}: not a readable mask ({reason(error)})") from None
        if pixels.shape != self.shape(index):
            height, width = self.shape(index)
            raise UserError(
                f"{shown}: the mask has {pixels.shape[1]}x{pixels.shape[0]} pixels, but its image "
                f"{one_line(self.source.name(index))} has {width}x{height}; save masks at the size of the images"
            )
        return np.isin(pixels, self.values) if self.values is not None else pixels > self.above
