"""The map of a reason: how similar each place of the image is to a prototype, enlarged when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resemblance.prototypes.gallery import Box
from resemblance.prototypes.maps import peak_boxes, percentile_boxes, upsample
from resemblance.relevance.deletion_check import DeletionCheck

Heat = NDArray[np.float32]


@dataclass(frozen=True)
class CellMap:
    """The similarities of an image's cells to a prototype.

    A map in the image's size takes a thousand times as much memory, and boxes take more time than all else: with
    thousands of reasons, few are looked at.

    Args:
        cells: (h, w).
        size: height and width of the image.
        patch: the rectangle that the method defines, if there is one.

    Example:
        >>> cells = CellMap(torch.eye(4), (28, 28))
        >>> cells.heat.shape, cells.box
        ((28, 28), (23, 23, 28, 28))
    """

    cells: Tensor
    size: tuple[int, int]
    patch: Box | None = None

    @property
    def heat(self) -> Heat:
        """The map in the size of the image, (H, W)."""
        heat: Heat = self._enlarged[0].cpu().numpy()
        return heat

    @cached_property
    def box(self) -> Box:
        """The rectangle around the connected region that has the maximum, or the patch."""
        return self.patch or _box(peak_boxes(self._enlarged))

    @cached_property
    def percentile_box(self) -> Box:
        """The papers' box, around all pixels at or above the 95th percentile, or the patch."""
        return self.patch or _box(percentile_boxes(self._enlarged))

    @property
    def _enlarged(self) -> Tensor:
        with torch.no_grad():
            return upsample(self.cells[None], self.size)


@dataclass(frozen=True)
class ReasonMap:
    """What is drawn over the image for a reason, with the place that is compared and what was checked.

    Args:
        place: the similarities of the cells; None for methods that compare whole images.
        other: (H, W) float32, a map of another kind than the similarity map, which is drawn in its place.
        check: what removing the pixels that the map marks does to the similarity; None if that was not asked.

    Example:
        >>> NO_MAP.heat is None, ReasonMap(CellMap(torch.eye(4), (8, 8), (0, 0, 2, 2))).box
        (True, (0, 0, 2, 2))
    """

    place: CellMap | None = None
    other: Heat | None = None
    check: DeletionCheck | None = None

    @property
    def heat(self) -> Heat | None:
        """(H, W) float32, the map in the size of the image; None if there is none."""
        return self.place.heat if self.other is None and self.place is not None else self.other

    @property
    def drawn(self) -> bool:
        """Whether there is a map."""
        return self.other is not None or self.place is not None

    @property
    def box(self) -> Box | None:
        """x0, y0, x1, y1 (exclusive), around the place; None for methods that compare whole images.

        It is around the connected region of the similarity map that has its maximum (see `prototypes.maps.peak_boxes`),
        or the patch that the method defines.
        """
        return None if self.place is None else self.place.box

    @property
    def percentile_box(self) -> Box | None:
        """The papers' box, around all pixels at or above the similarity map's 95th percentile."""
        return None if self.place is None else self.place.percentile_box


NO_MAP = ReasonMap()


class Mapped:
    """What reasons and steps of paths read of their map."""

    map: ReasonMap

    @property
    def heat(self) -> Heat | None:
        """(H, W) float32, the map in the size of the image, made when it is asked for; None if there is none."""
        return self.map.heat

    @property
    def box(self) -> Box | None:
        """The place in the image that is compared (`ReasonMap.box`)."""
        return self.map.box

    @property
    def percentile_box(self) -> Box | None:
        """The papers' box (`ReasonMap.percentile_box`)."""
        return self.map.percentile_box

    @property
    def check(self) -> DeletionCheck | None:
        """What removing the pixels that the map marks does to the similarity; None if that was not asked."""
        return self.map.check


def _box(boxes: Tensor) -> Box:
    x0, y0, x1, y1 = boxes[0].tolist()
    return x0, y0, x1, y1
