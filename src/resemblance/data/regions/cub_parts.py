"""Parts and boxes of CUB-200-2011's annotations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.data.matching import match_names
from resemblance.data.regions.reader import TableReader
from resemblance.data.sources.source import Source
from resemblance.data.sources.tree import Tree, open_tree
from resemblance.data.text import one_line, reason

PARTS = (
    *("back", "beak", "belly", "breast", "crown", "forehead", "left eye", "left leg", "left wing", "nape"),
    *("right eye", "right leg", "right wing", "tail", "throat"),
)


Rows = Callable[[str, int, int], NDArray[np.float64]]


@dataclass(frozen=True)
class CubImages:
    """The classes, splits and boxes of N images.

    Args:
        files: (N,) paths below ``images/``.
        labels: (N,) int64 classes, from 0.
        test: (N,) bool, whether the official split tests with it.
        boxes: (N, 4) float64, x0, y0, x1, y1 of the bird, pixels of the file.
    """

    files: tuple[str, ...]
    labels: NDArray[np.int64]
    test: NDArray[np.bool_]
    boxes: NDArray[np.float64]


@dataclass(frozen=True)
class CubAnnotations(CubImages):
    """The annotations of N images, with the parts of the birds.

    Args:
        points: (N, 15, 2) float64, x and y of the parts, pixels of the file.
        visible: (N, 15) bool.
    """

    points: NDArray[np.float64]
    visible: NDArray[np.bool_]

    def cropped_points(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """Return the parts (N, 15, 2) in images that are cropped to the bird and resized to (height, width)."""
        low, high = self.boxes[:, None, :2], self.boxes[:, None, 2:]
        shares: NDArray[np.float64] = (self.points - low) / (high - low)
        return shares * np.array([size[1], size[0]], dtype=np.float64)


def read_cub(path: Path) -> CubAnnotations:
    """Read the annotations from the folder or the zip archive of CUB-200-2011.

    Args:
        path: contains ``images.txt``, ``parts/part_locs.txt`` and so on, at its root or in ``CUB_200_2011/``.

    Raises:
        UserError: if a file is missing, damaged, or does not fit the others.
    """
    images, rows = _images(open_tree(path, "CUB-200-2011"), path)
    parts = rows("parts/part_locs.txt", 5, len(PARTS))
    if not (parts[:, :, 1] == np.arange(1, len(PARTS) + 1)).all():
        raise UserError(
            f"{one_line(path)}: parts/part_locs.txt does not list parts 1 to {len(PARTS)} of each image"
        )
    return CubAnnotations(**vars(images), points=parts[:, :, 2:4].copy(), visible=parts[:, :, 4] == 1)


def read_cub_images(path: Path) -> CubImages:
    """Read classes, splits and boxes alone; see `read_cub`."""
    return _images(open_tree(path, "CUB-200-2011"), path)[0]


def _images(tree: Tree, path: Path) -> tuple[CubImages, Rows]:
    """Return the images, and a function that reads a table (N, rows per image, columns) in their order."""
    names = _table(tree, "images.txt", 2)
    count = len(names)
    numbers = {name: row for row, (name, _) in enumerate(names)}
    if len(numbers) != count:
        raise UserError(f"{one_line(path)}: images.txt has an image twice")

    def ordered(file: str, columns: int, rows_per_image: int) -> NDArray[np.float64]:
        lines = _table(tree, file, columns)
        if len(lines) != count * rows_per_image:
            raise UserError(
                f"{one_line(path)}: {file} has {len(lines)} rows; expected {rows_per_image} for each of {count} images"
            )
        try:
            order = np.argsort([numbers[line[0]] for line in lines], kind="stable")
            table = np.array(lines, dtype=np.float64)[order]
        except KeyError as error:
            raise UserError(
                f"{one_line(path)}: {file} has the image {error}, which images.txt lacks"
            ) from None
        except ValueError as error:
            raise UserError(f"{one_line(path)}: {file}: not a table of numbers ({reason(error)})") from None
        return table.reshape(count, rows_per_image, columns)

    corners = ordered("bounding_boxes.txt", 5, 1)[:, 0, 1:]
    images = CubImages(
        tuple(file for _, file in names),
        ordered("image_class_labels.txt", 2, 1)[:, 0, 1].astype(np.int64) - 1,
        ordered("train_test_split.txt", 2, 1)[:, 0, 1] == 0,
        np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1),
    )
    return images, ordered


def cub_parts(source: Source, path: Path, *, cropped: bool = False, merge_sides: bool = False) -> TableReader:
    """Read the parts of the images of a source.

    Args:
        source: the images, named as in ``images.txt``.
        path: the folder or the zip archive of CUB-200-2011.
        cropped: whether the images of the source are cropped to the birds' boxes.
        merge_sides: whether left and right eye, leg and wing are one part each, as for `Purity`.

    Raises:
        UserError: for damaged files, or names that fit no image.
    """
    annotations = read_cub(path)
    matches = match_names(source, annotations.files, str(path), "annotation")
    names = tuple(dict.fromkeys(_without_side(part) for part in PARTS)) if merge_sides else PARTS
    parts = [names.index(_without_side(part) if merge_sides else part) for part in PARTS]
    points = np.zeros((len(source), len(PARTS), 2))
    visible = np.zeros((len(source), len(PARTS)), dtype=bool)
    for index, row in enumerate(matches.rows):
        if row is not None:
            visible[index] = annotations.visible[row]
            points[index] = annotations.points[row]
            if cropped:
                x0, y0, x1, y1 = annotations.boxes[row]
                height, width = (int(side) for side in source.shapes[index, :2])
                points[index] = (points[index] - (x0, y0)) / (x1 - x0, y1 - y0) * (width, height)
    return TableReader(source, points, visible, parts, names, matches.missing, matches.notes)


def _without_side(part: str) -> str:
    return part.removeprefix("left ").removeprefix("right ")


def _table(tree: Tree, file: str, columns: int) -> list[list[str]]:
    """Return the cells of a file's lines."""
    present = [name for name in (file, f"CUB_200_2011/{file}") if name in tree.names]
    if not present:
        raise UserError(f"{tree.shown(file)}: missing; expected the annotations of CUB-200-2011")
    try:
        lines = [line.split() for line in tree.read(present[0]).decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"{tree.shown(file)}: not a text file ({reason(error)})") from None
    if any(len(line) != columns for line in lines):
        raise UserError(f"{tree.shown(file)}: a row does not have {columns} columns")
    return lines
