"""List the images that somebody names: one, many, a batch, a folder with subfolders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data.inputs import ModelInput, as_tensor
from resemblance.data.sources.layout import looks_like_image
from resemblance.data.sources.masks_beside import masks_beside, note_on_masks
from resemblance.data.sources.tree import Folder
from resemblance.data.text import composed, listed, one_line


@dataclass
class ImageList:
    """Images in the order in which they were named; those of a folder in the order of their paths.

    Args:
        images: whatever `data.inputs.as_tensor` accepts; files of folders as paths.
        folders: for each image that was found in a folder, the names of the folders below it, outermost first; None
            for an image that was named itself.
        notes: what was left out of folders.
    """

    images: list[Any] = field(default_factory=list)
    folders: list[tuple[str, ...] | None] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def paths(self) -> list[str | None]:
        """The path of each image that is a file; None for others."""
        return [str(image) if isinstance(image, str | os.PathLike) else None for image in self.images]

    @property
    def roots(self) -> set[Path]:
        """The folders in which images were found."""
        return {
            image.parents[len(folders)]
            for image, folders in zip(self.images, self.folders, strict=True)
            if folders is not None and isinstance(image, Path)
        }

    def labels(self, classes: Sequence[str]) -> list[str | None]:
        """Return the class of each image by its class folder: the outermost one that is named like a class.

        Example:
            >>> ImageList(["a.png", "b.png"], [("test", "cat", "old"), ("rest",)]).labels(("cat", "dog"))
            ['cat', None]
        """
        known = {composed(name): name for name in classes}
        return [
            next((known[composed(name)] for name in folders or () if composed(name) in known), None)
            for folders in self.folders
        ]

    def _name(self, number: int) -> str | None:
        """Return the path of an image below the folder in which it was found; None for one that was named itself."""
        image, folders = self.images[number], self.folders[number]
        return None if folders is None or not isinstance(image, Path) else "/".join((*folders, image.name))

    def read(
        self,
        spec: ImageSpec,
        batch_size: int,
        skip_bad_images: bool,
        left_out: list[str] | None,
        shown: bool = True,
    ) -> Iterator[list[tuple[int, ModelInput]]]:
        """Yield batches of images as a model reads them, with their numbers in this list.

        Args:
            spec: size and channels.
            batch_size: images per batch; where some cannot be read, a batch has fewer.
            skip_bad_images: leave out unreadable files that were named themselves, too; those of a folder always are.
            left_out: receives the reason for each file that is left out; None to leave out none.
            shown: whether the pictures are needed, too; see `as_tensor`.

        Raises:
            UserError: if an image cannot be read and is not left out.
        """
        for start in range(0, len(self), batch_size):
            batch = []
            for number in range(start, min(start + batch_size, len(self))):
                image = self.images[number]
                skip = skip_bad_images and isinstance(image, Path) and image.is_file()
                try:
                    batch.append((number, as_tensor(image, spec, self._name(number), shown)))
                except UserError as error:
                    if left_out is None or not (skip or self.folders[number] is not None):
                        raise
                    left_out.append(str(error))
            yield batch


def list_images(images: Any) -> ImageList:
    """Return a list of images; a folder is replaced by the images in it and in its subfolders.

    Hidden files, files of file managers and files that are not images are left out of folders, with a note.

    Args:
        images: an image as `as_tensor` accepts it (a path, a PIL image, an array, a tensor), a folder, a batch of
            images (B, C, H, W) or array (B, H, W, C), or a sequence of images and folders.

    Raises:
        UserError: for a file that does not exist, or a folder without images.

    Example:
        >>> list_images("none.png")
        Traceback (most recent call last):
        resemblance.config.errors.UserError: no such image: none.png
    """
    if isinstance(images, ImageList):
        return images
    found = ImageList()
    if isinstance(images, Tensor | np.ndarray) and images.ndim == 4:
        images = list(images)
    elif isinstance(images, ModelInput) or not isinstance(images, list | tuple):
        images = [images]
    for image in images:
        if isinstance(image, str | os.PathLike):
            _add_path(found, Path(image).expanduser(), os.fspath(image))
        else:
            found.images.append(image)
            found.folders.append(None)
    return found


def is_one_image(images: Any) -> bool:
    """Check whether something is one image, and not several or a folder.

    Example:
        >>> is_one_image("digit.png"), is_one_image(["digit.png"]), is_one_image(np.zeros((2, 8, 8, 1)))
        (True, False, False)
    """
    if isinstance(images, str | os.PathLike):
        return not Path(images).expanduser().is_dir()
    if isinstance(images, Tensor | np.ndarray) and images.ndim == 4:
        return len(images) == 1 and isinstance(images, Tensor)
    return isinstance(images, ModelInput) or not isinstance(images, list | tuple | ImageList)


def _add_path(found: ImageList, path: Path, name: str) -> None:
    if not path.exists():
        raise UserError(f"no such image: {one_line(name)}")
    if not path.is_dir():
        found.images.append(path)
        found.folders.append(None)
        return
    folder = Folder(path)
    masks = masks_beside(folder.names)
    names = [file for file in folder.names if looks_like_image(file) and file not in masks]
    others = [file for file in folder.names if not looks_like_image(file)]
    if not names:
        more = f", but {_files(len(others))} of other kinds: {listed(others, 3)}" if others else ""
        raise UserError(f"{one_line(name)} is a folder without images{more}")
    if folder.junk:
        found.notes.append(f"{one_line(name)}: {_files(len(folder.junk), 'hidden or system ')} left out")
    if others:
        kind = "that is not an image" if len(others) == 1 else "that are not images"
        found.notes.append(f"{one_line(name)}: {_files(len(others))} {kind} left out: {listed(others, 5)}")
    found.notes += note_on_masks(sorted(masks))
    for file in names:
        found.images.append(path / file)
        found.folders.append(PurePosixPath(file).parts[:-1])


def _files(count: int, kind: str = "") -> str:
    return f"{count} {kind}file{'' if count == 1 else 's'}"
