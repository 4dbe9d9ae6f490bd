"""Loose images without labels: a folder of files, or a single file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data.formats.jpeg_draft import SMALLEST, size_in_full
from resemblance.data.formats.levels import UnknownRange, Window
from resemblance.data.images import read_image
from resemblance.data.sources.layout import looks_like_image
from resemblance.data.sources.masks_beside import masks_beside, note_on_masks
from resemblance.data.sources.source import Source
from resemblance.data.text import one_line
from resemblance.data.transforms import to_pixels


class LooseImages(Source):
    """Image files without labels; their labels are all 0 and mean nothing.

    Args:
        shapes: each file, with height, width and channels of its image.
        classes: the classes of the model that reads them.
        window: the values that become black and white in images of more than 8 bits.
    """

    def __init__(
        self,
        shapes: Mapping[Path, tuple[int, int, int]],
        classes: Sequence[str],
        window: Window | None = None,
    ) -> None:
        self.window = window
        self.paths = list(shapes)
        self.labels = np.zeros(len(self.paths), dtype=np.int64)
        self.classes = tuple(classes)
        self.shapes = np.array(list(shapes.values()), dtype=np.int64).reshape(-1, 3)

    def read(self, index: int) -> Image.Image:
        """Return the image at ``index``."""
        return read_image(self.paths[index], window=self.window)

    def read_pixels(self, index: int, spec: ImageSpec) -> NDArray[np.uint8]:
        """Read the pixels of the image at ``index`` for a model."""
        return to_pixels(read_image(self.paths[index], window=self.window, draft_for=spec), spec)

    def name(self, index: int) -> str:
        """Return the name of the file."""
        return one_line(self.paths[index].name)

    def stamp(self, index: int) -> str:
        """Return the name of the file, its size, and the time of its last change."""
        status = self.paths[index].stat()
        return f"{self.paths[index].name} {status.st_size} {status.st_mtime_ns}"


def loose_images(
    text: str, classes: Sequence[str], skip_bad_images: bool = False, window: Window | None = None
) -> tuple[LooseImages, list[str]] | None:
    """Open a folder that holds image files directly and no folders, or a single image file.

    Args:
        text: the path.
        classes: the classes of the model that reads them.
        skip_bad_images: leave out unreadable files, with a note, instead of raising an error.
        window: the values that become black and white in images of more than 8 bits.

    Returns:
        The images, and notes; None if the path is something else, for instance a folder with class folders.

    Raises:
        UserError: if a file cannot be read, or none can.

    Example:
        >>> loose_images("digits", ["zero"]) is None
        True
    """
    path = Path(text).expanduser()
    if path.is_file() and looks_like_image(path.name):
        files = [path]
    elif path.is_dir():
        entries = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")]
        if any(entry.is_dir() for entry in entries):
            return None
        files = [entry for entry in entries if looks_like_image(entry.name)]
    else:
        return None
    if not files:
        return None
    masks = masks_beside([file.name for file in files])
    files = [file for file in files if file.name not in masks]
    shapes: dict[Path, tuple[int, int, int]] = {}
    notes = note_on_masks(sorted(masks))
    for file in files:
        try:
            image = read_image(file, window=window, draft_for=SMALLEST)
        except UnknownRange as error:
            raise error.for_a_model() from None
        except UserError as error:
            if not skip_bad_images:
                raise UserError(f"{error} (--skip-bad-images leaves such files out)") from None
            notes.append(f"left out: {error}")
        else:
            shapes[file] = *size_in_full(image), len(image.getbands())
    if not shapes:
        raise UserError(f"{one_line(path)}: none of its {len(files)} images can be read")
    return LooseImages(shapes, classes, window), notes
