"""The results of a prototype layer."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Comparison:
    """The similarities of images to prototypes.

    Args:
        similarities: (B, P), pooled over the image.
        extras: other inputs of the loss or the head, by name: distances, means, cosines, each (B, P).
    """

    similarities: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Match:
    """The distance of each image to each prototype, and its nearest position.

    Args:
        values: (B, P), smaller is nearer.
        cells: (B, P) int64, flat index of the nearest position in the latent map (0 for whole images).
    """

    values: Tensor
    cells: Tensor


@dataclass
class Places:
    """The places where selected images are nearest to selected prototypes, and their vectors.

    Args:
        values: (n,) exact distances, float64 where the device has it, −infinite where the image still contains the
            prototype itself.
        cells: (n,) int64, flat index of the position (0 for whole images).
        vectors: (n, *prototype shape), the vectors that the prototypes would have after projection.
        boxes: (n, K, 4) the K parts of the place, x0, y0, x1, y1 as shares of the image's width and height. A part
            that moved beyond the image has a box beyond it.
        present: (n, K) bool, which of the parts count.
    """

    values: Tensor
    cells: Tensor
    vectors: Tensor
    boxes: Tensor
    present: Tensor

    def __getitem__(self, index: Tensor) -> Places:
        return Places(
            self.values[index],
            self.cells[index],
            self.vectors[index],
            self.boxes[index],
            self.present[index],
        )
