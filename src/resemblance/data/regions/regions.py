"""The annotated regions of a batch of images, at the size that the model reads."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Regions:
    """Masks, boxes or points of a batch of images; exactly one of the three.

    Coordinates are pixels of the model's input: the centre of the first pixel is at (0.5, 0.5). Several columns can
    belong to one part, for instance the boxes of two heads, or the left and the right eye where sides do not count.

    Args:
        size: height and width of the model's input.
        masks: (B, H, W) bool, one region per image.
        boxes: (B, N, 4) float64, x0, y0, x1, y1, right and lower edge exclusive.
        points: (B, N, 2) float64, x, y.
        visible: (B, N) bool, whether the image has the region of that column; (B, 1) for masks. By default all.
        parts: (N,) int64, the part of each column. By default each column is a part.
        names: the names of the parts.

    Raises:
        ValueError: if shapes do not fit together, or there is not exactly one kind of region.

    Example:
        >>> boxes = torch.tensor([[[2.0, 1.0, 4.0, 3.0]]], dtype=torch.float64)
        >>> regions = Regions((4, 6), boxes=boxes, names=("head",))
        >>> regions.as_points()[0].tolist(), regions.as_masks()[0].sum().item()
        ([[3.0, 2.0]], 4)
    """

    size: tuple[int, int]
    masks: Tensor | None = None
    boxes: Tensor | None = None
    points: Tensor | None = None
    visible: Tensor | None = None
    parts: Tensor | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        kinds = [kind for kind in ("masks", "boxes", "points") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"regions are masks, boxes or points; given are {' and '.join(kinds) or 'none'}")
        columns = 1 if kinds == ["masks"] else self._values.shape[1]
        if kinds == ["masks"] and self._values.shape[1:] != torch.Size(self.size):
            raise ValueError(f"masks of {tuple(self._values.shape[1:])} for images of {self.size}")
        if self.visible is None:
            object.__setattr__(
                self, "visible", torch.ones(len(self), columns, dtype=torch.bool, device=self._values.device)
            )
        if self.parts is None:
            object.__setattr__(self, "parts", torch.arange(columns, device=self._values.device))
        if self.shown.shape != (len(self), columns) or self.part_of.shape != (columns,):
            raise ValueError(
                f"visible {tuple(self.shown.shape)} and parts {tuple(self.part_of.shape)} "
                f"for {len(self)} images with {columns} columns"
            )
        if not self.names:
            object.__setattr__(self, "names", tuple(f"part {part}" for part in range(self.num_parts)))

    @property
    def _values(self) -> Tensor:
        values = next(tensor for tensor in (self.masks, self.boxes, self.points) if tensor is not None)
        return values

    def __len__(self) -> int:
        return len(self._values)

    @property
    def kind(self) -> str:
        """Return "masks", "boxes" or "points"."""
        return next(kind for kind in ("masks", "boxes", "points") if getattr(self, kind) is not None)

    @property
    def shown(self) -> Tensor:
        """Return (B, N) bool, the visible columns."""
        assert self.visible is not None
        return self.visible

    @property
    def part_of(self) -> Tensor:
        """Return (N,) int64, the part of each column."""
        assert self.parts is not None
        return self.parts

    @property
    def num_parts(self) -> int:
        """Return the number of parts, T."""
        if self.names:
            return len(self.names)
        return int(self.part_of.max()) + 1 if len(self.part_of) else 0

    def visible_parts(self) -> Tensor:
        """Return (B, T) bool, the parts of which a column is visible."""
        return merge_columns(self.shown, self.part_of, self.num_parts)

    def as_points(self) -> Tensor:
        """Return (B, N, 2) float64, x and y: points, or the centres of boxes.

        Raises:
            ValueError: for masks, whose centre can lie outside of them.
        """
        if self.points is not None:
            return self.points.double()
        if self.boxes is None:
            raise ValueError("masks have no points; give boxes or points")
        return (self.boxes[..., :2] + self.boxes[..., 2:]).double() / 2

    def as_masks(self, tolerance: float = 0.0) -> Tensor:
        """Return (B, H, W) bool, the pixels whose centres lie within ``tolerance`` pixels of a visible region.

        Args:
            tolerance: pixels; points need one that is positive.
        """
        if self.masks is not None:
            inside = self.masks.bool() & self.shown[:, :, None]
            return _dilated(inside, tolerance) if tolerance > 0 else inside
        height, width = self.size
        values = self._values.double()
        low, high = (values, values) if self.points is not None else (values[..., :2], values[..., 2:])
        x = torch.arange(width, dtype=torch.float64, device=values.device) + 0.5
        y = torch.arange(height, dtype=torch.float64, device=values.device) + 0.5
        outside_x = (low[..., :1] - x).clamp_min(0) + (x - high[..., :1]).clamp_min(0)  # (B, N, W)
        outside_y = (low[..., 1:] - y).clamp_min(0) + (y - high[..., 1:]).clamp_min(0)  # (B, N, H)
        inside = torch.zeros(len(self), height, width, dtype=torch.bool, device=values.device)
        for column in range(values.shape[1]):  # (B, N, H, W) at once would be large
            distance = outside_y[:, column, :, None].square() + outside_x[:, column, None, :].square()
            inside |= (distance <= tolerance**2) & self.shown[:, column, None, None]
        return inside


def merge_columns(values: Tensor, parts: Tensor, count: int) -> Tensor:
    """Return (..., T) bool, whether any of the columns (..., N) of each part is set.

    Args:
        values: (..., N) bool.
        parts: (N,) int64, the part of each column.
        count: T.

    Example:
        >>> merge_columns(torch.tensor([[True, False, False]]), torch.tensor([0, 0, 1]), 2)
        tensor([[ True, False]])
    """
    merged = torch.zeros(*values.shape[:-1], count, dtype=torch.int64, device=values.device)
    index = parts.to(values.device).expand(values.shape)
    return merged.scatter_add_(-1, index, values.long()) > 0


def _dilated(masks: Tensor, tolerance: float) -> Tensor:
    """Return the pixels whose centres lie within ``tolerance`` of the centre of a pixel of the masks (B, H, W)."""
    reach = int(tolerance)
    offsets = torch.arange(-reach, reach + 1, device=masks.device)
    disc = (offsets[:, None].square() + offsets.square() <= tolerance**2).float()
    return F.conv2d(masks[:, None].float(), disc[None, None], padding=reach)[:, 0] > 0.5
