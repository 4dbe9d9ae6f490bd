"""Pure functions from similarity maps to the image: upsampling and the papers' boxes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

PERCENT = 95.0


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge maps to the size of the image, bicubically, as the papers' figures do.

    Maps of prototypes that span several cells have a value for each window. They are stretched over the whole image, as
    in the papers' code, so that windows near the edges are drawn farther out than they lie, by at most half a window.

    Args:
        maps: (..., h, w).
        size: height and width of the image.

    Returns:
        (..., H, W) float32.

    Example:
        >>> upsample(torch.zeros(3, 5, 7, 7), (28, 28)).shape
        torch.Size([3, 5, 28, 28])
    """
    flat = maps.float().reshape(-1, 1, *maps.shape[-2:])
    large = F.interpolate(flat, size=tuple(size), mode="bicubic", align_corners=False)
    return large.reshape(*maps.shape[:-2], *large.shape[-2:])


def percentile(values: Tensor, percent: float = PERCENT) -> Tensor:
    """Return the percentile of each row, interpolated linearly between the two nearest values.

    It selects values instead of sorting them, and rows may have any length.

    Args:
        values: (N, M).
        percent: in [0, 100].

    Returns:
        (N,).

    Example:
        >>> percentile(torch.arange(100.0)[None])
        tensor([94.0500])
    """
    count = values.shape[1]
    position = percent / 100 * (count - 1)
    rank = min(int(position), count - 1)
    largest = values.topk(count - rank, dim=1, sorted=False).values
    around = largest.topk(min(2, count - rank), dim=1, largest=False).values
    return torch.lerp(around[:, 0], around[:, -1], position - rank)


def percentile_boxes(maps: Tensor, percent: float = PERCENT) -> Tensor:
    """Return the smallest box around all pixels at or above the percentile of each map.

    Separate regions share one large box, and a plateau at the percentile results in the whole map.
    Source: Chen et al. 2019, section 2.4, and their released code.

    Args:
        maps: (N, H, W).
        percent: in [0, 100].

    Returns:
        (N, 4) int64: x0, y0, x1, y1, right and lower edge exclusive.

    Example:
        >>> percentile_boxes(torch.arange(100.0).reshape(1, 10, 10))
        tensor([[ 5,  9, 10, 10]])
    """
    count, height, width = maps.shape
    if count == 0:
        return torch.zeros(0, 4, dtype=torch.int64, device=maps.device)
    maps = maps.float()
    threshold = percentile(maps.flatten(1), percent)[:, None]
    x0, x1 = _extent(maps.amax(dim=1) >= threshold, width)
    y0, y1 = _extent(maps.amax(dim=2) >= threshold, height)
    return torch.stack([x0, y0, x1, y1], dim=1)


def percentile_box(heat: Tensor, percent: float = PERCENT) -> tuple[int, int, int, int]:
    """Return the box of a single map (H, W); see `percentile_boxes`.

    Example:
        >>> heat = torch.zeros(10, 10)
        >>> heat[3, 4] = 1.0
        >>> percentile_box(heat)
        (0, 0, 10, 10)
    """
    x0, y0, x1, y1 = percentile_boxes(heat[None], percent)[0].tolist()
    return x0, y0, x1, y1


def peak_boxes(maps: Tensor, percent: float = PERCENT) -> Tensor:
    """Return the box around the connected region of each map that has the map's maximum.

    The region consists of pixels at or above the percentile that are neighbours by their sides. Unlike that of
    `percentile_boxes`, the box does not grow with bright regions elsewhere in the image, and is never larger.

    Args:
        maps: (N, H, W).
        percent: in [0, 100].

    Returns:
        (N, 4) int64: x0, y0, x1, y1, right and lower edge exclusive; the whole map where it is not finite.

    Example:
        >>> heat = torch.zeros(1, 10, 10)
        >>> heat[0, 1, 1:3], heat[0, 8, 7] = 2.0, 1.0
        >>> peak_boxes(heat, 97), percentile_boxes(heat, 97)
        (tensor([[1, 1, 3, 2]]), tensor([[1, 1, 8, 9]]))
    """
    boxes = percentile_boxes(maps, percent)
    if len(maps):
        from scipy import ndimage  # a fifth of a second, which models of whole images can do without

        thresholds = percentile(maps.float().flatten(1), percent).cpu().numpy()
        for number, (heat, threshold) in enumerate(zip(maps.float().cpu().numpy(), thresholds, strict=True)):
            if not np.isfinite(heat).all():
                continue
            regions, _ = ndimage.label(heat >= threshold)
            rows, columns = ndimage.find_objects(regions)[regions.flat[heat.argmax()] - 1]
            boxes[number] = boxes.new_tensor([columns.start, rows.start, columns.stop, rows.stop])
    return boxes


def cell_boxes(cells: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return the rectangles of the image that cells of a latent map cover when the map is laid over the image.

    Args:
        cells: (N,) flat indices into the grid.
        grid: rows and columns of the map.
        size: height and width of the image.

    Returns:
        (N, 4) int64: x0, y0, x1, y1, right and lower edge exclusive.

    Example:
        >>> cell_boxes(torch.tensor([5]), (4, 4), (32, 32))
        tensor([[ 8,  8, 16, 16]])
    """
    rows, columns = cells // grid[1], cells % grid[1]
    height, width = size
    x0, y0 = columns * width // grid[1], rows * height // grid[0]
    x1 = ((columns + 1) * width + grid[1] - 1) // grid[1]
    y1 = ((rows + 1) * height + grid[0] - 1) // grid[0]
    return torch.stack([x0, y0, x1, y1], dim=1)


def _extent(present: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return the first and one past the last position that is set; the full range where none is (a map of NaN).

    torchvision's `masks_to_boxes` would compute the same otherwise, but it refuses an empty mask or, in later versions,
    returns the pixel at 0, 0 for it; and it needs the whole mask (N, H, W), where the maxima of rows and columns are
    enough.
    """
    positions = torch.arange(length, device=present.device)
    first = torch.where(present, positions, length).amin(dim=1)
    last = torch.where(present, positions + 1, 0).amax(dim=1)
    empty = last == 0
    return first.masked_fill(empty, 0), last.masked_fill(empty, length)
