"""Prototypes that are vectors: a geometry, and an activation that turns its distances into similarities."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from resemblance.prototypes.comparison import Comparison, Match, Places
from resemblance.prototypes.geometry import Geometry, SquaredDistance
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.pairwise import pairwise_measures
from resemblance.prototypes.precision import full_precision, widened, widest
from resemblance.prototypes.similarity import log_similarity

CHUNK = 1 << 22  # numbers in memory at once in exact measurements

Activation = Callable[[Tensor], Tensor]


class VectorPrototypes(PrototypeLayer):
    """Vectors that represent patches (P, D, h, w) of a latent map, or whole images (P, E).

    The similarity of an image to a patch prototype is that of its nearest window; whole images are compared by their
    embeddings. If latents have more channels than a prototype, the first ones are compared.

    Args:
        vectors: (P, D, h, w) or (P, E).
        owners: (P, C) bool, multi-hot.
        geometry: the distance between patches; by default squared Euclidean.
        activation: turns distances into similarities, element by element.

    Example:
        >>> prototypes = VectorPrototypes(torch.zeros(2, 3, 1, 1), torch.eye(2))
        >>> latents = torch.ones(5, 3, 4, 4)
        >>> prototypes(latents).similarities.shape, prototypes.maps(latents, torch.tensor([1])).shape
        (torch.Size([5, 2]), torch.Size([5, 1, 4, 4]))
    """

    def __init__(
        self,
        vectors: Tensor,
        owners: Tensor,
        geometry: Geometry | None = None,
        activation: Activation = log_similarity,
    ) -> None:
        super().__init__(owners, vectors)
        self.geometry = geometry or SquaredDistance()
        self.activation = activation

    @property
    def has_maps(self) -> bool:
        """Whether the prototypes represent patches."""
        return self.vectors.dim() == 4

    @property
    def window(self) -> tuple[int, int]:
        """The rows and columns of cells that a prototype spans."""
        return (self.vectors.shape[2], self.vectors.shape[3]) if self.has_maps else (1, 1)

    def compared(self, latents: Tensor) -> Tensor:
        """Return the part of latents that is compared with the vectors, (B, D, H, W) or (B, E), at least in float32."""
        length = self.vectors.shape[1]
        return widened(latents if self.has_maps else latents.flatten(1))[:, :length]

    def forward(self, latents: Tensor) -> Comparison:
        """Return similarities (B, P), and the distances from which they are computed."""
        with full_precision(latents):
            distances = self.nearest(self.compared(latents))[0]
            return Comparison(self.activation(distances), {"distances": distances})

    def nearest(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the smallest distances and their cells, (B, P) each, of latents that `compared` returned."""
        if self.has_maps:
            return self.geometry.nearest(latents, self.vectors)
        distances = self.geometry.whole(latents, self.vectors)
        return distances, torch.zeros_like(distances, dtype=torch.int64)

    @torch.no_grad()
    def match(self, latents: Tensor) -> Match:
        """Return the smallest distances and their cells."""
        with full_precision(latents):
            return Match(*self.nearest(self.compared(latents)))

    def maps(self, latents: Tensor, which: Tensor | None = None) -> Tensor:
        """Return the similarity of each window, (B, K, H', W'); only for patches."""
        if not self.has_maps:
            return super().maps(latents, which)
        vectors = self.vectors if which is None else self.vectors[which]
        with full_precision(latents):
            return self.activation(self.geometry.distances(self.compared(latents), vectors))

    def grid(self, latents: Tensor) -> tuple[int, int]:
        """Return rows and columns of windows."""
        if not self.has_maps:
            return (1, 1)
        height, width = self.window
        return latents.shape[2] - height + 1, latents.shape[3] - width + 1

    # Exact measurements of selected pairs.

    @torch.no_grad()
    def at(self, latents: Tensor, rows: Tensor, which: Tensor) -> Places:
        """Return the nearest windows; a window that equals the prototype comes before any other.

        With distances it is the nearest anyway. With inner products a longer patch of about the same direction would
        come first, and a prototype that is already a training patch would move on.
        """
        grid = self.grid(latents)
        parts = [self._places(latents, r, w) for r, w in self._chunks(grid, rows, which)]
        values, cells, vectors = (torch.cat(column) for column in zip(*parts, strict=True))
        boxes = self._window_boxes(cells, grid)[:, None]
        return Places(values, cells, vectors, boxes, torch.ones_like(boxes[..., 0], dtype=torch.bool))

    def _places(self, latents: Tensor, rows: Tensor, which: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        patches, vectors = self.patches(latents, rows), self.vectors[which][:, None]
        distances = self.measure(patches, vectors)
        projected = self.projected_vectors(patches)
        equal = (projected == vectors).flatten(2).all(dim=2)
        distances = distances.masked_fill(equal, -torch.inf)
        smallest = distances.amin(dim=1)
        count = distances.shape[1]
        positions = torch.arange(count, device=distances.device)
        cells = torch.where(distances == smallest[:, None], positions, count).amin(dim=1).clamp_max(count - 1)
        nearest = projected[torch.arange(len(rows), device=rows.device), cells]
        return smallest, cells, nearest.to(self.vectors.dtype)

    @torch.no_grad()
    def source_maps(self, latents: Tensor, rows: Tensor, which: Tensor, vectors: Tensor) -> Tensor | None:
        """Return the exact similarities of all windows of an image to a vector."""
        if not self.has_maps:
            return None
        grid = self.grid(latents)
        parts = [
            self.measure(self.patches(latents, r), v[:, None]) for r, v in self._chunks(grid, rows, vectors)
        ]
        return self.activation(torch.cat(parts).float()).reshape(-1, *grid)

    @torch.no_grad()
    def shares(self, latents: Tensor, which: Tensor, released: bool = False) -> Tensor:
        """Return the shares of the channels in all cells of the nearest window, or of the whole embedding."""
        compared, vectors = self.compared(latents), self.vectors[which].to(widened(latents).dtype)
        result = torch.zeros_like(widened(latents))
        if not self.has_maps:
            flat = self.geometry.shares(compared, vectors.flatten(1), released)
            part = result.flatten(1)
            part[:, : flat.shape[1]] = flat
            return part.reshape(latents.shape)
        rows, (height, width) = torch.arange(len(which), device=which.device), self.window
        cells = self.at(latents, rows, which).cells
        columns = self.grid(latents)[1]
        y = (cells // columns)[:, None, None] + torch.arange(height, device=cells.device)[:, None]
        x = (cells % columns)[:, None, None] + torch.arange(width, device=cells.device)
        window = compared[rows[:, None, None], :, y, x].flatten(1)  # (n, h·w·D)
        flat = self.geometry.shares(window, vectors.permute(0, 2, 3, 1).flatten(1), released)
        channels = torch.arange(compared.shape[1], device=cells.device)
        place = (rows[:, None, None, None], channels, y[..., None], x[..., None])
        result[place] = flat.reshape(len(rows), height, width, compared.shape[1])
        return result

    def patches(self, latents: Tensor, rows: Tensor) -> Tensor:
        """Return all windows of the images ``rows`` (n,), in the order of their cells: (n, cells, *shape)."""
        latents = self.compared(latents)[rows]
        if not self.has_maps:
            return latents[:, None]
        height, width = self.window
        windows = latents.unfold(2, height, 1).unfold(3, width, 1)  # (n, D, H', W', h, w)
        return windows.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)

    def projected_vectors(self, patches: Tensor) -> Tensor:
        """Return the vectors of prototypes that are projected onto patches; by default the patches."""
        return patches

    def measure(self, patches: Tensor, vectors: Tensor) -> Tensor:
        """Return exact distances (n, cells), float64, between patches (n, cells, *shape) and vectors (n, 1, *shape)."""
        dims = self.vectors.dim() - 1
        return self.geometry.measure(patches.flatten(-dims), vectors.flatten(-dims))

    @torch.no_grad()
    def between(self) -> Tensor:
        """Return the similarities of all prototypes to each other, from exact distances."""
        return self.activation(pairwise_measures(self.vectors, self.vectors, self.measure))

    def rounding_error(self, latents: Tensor) -> Tensor:
        """Return more than twice the error of the fast distances, in the present arithmetic."""
        return self.error_scale(latents) * (2 * _unit(latents.device, self.vectors[0].numel()))

    def error_scale(self, latents: Tensor) -> Tensor:
        """Return the scale (P,) of the numbers that the fast distances add up; rounding errors are relative to it."""
        rows, columns = self.window
        largest = self.compared(latents).square().sum(dim=1).amax() * (rows * columns)
        longest = largest.to(widest(latents.device)).sqrt()
        vectors = self.vectors.detach().flatten(1).to(longest.dtype)
        return self.geometry.error_scale(longest, vectors)

    def normalized(self, vectors: Tensor) -> Tensor:
        """Return vectors as the geometry compares them."""
        return self.geometry.normalized(vectors)

    def _window_boxes(self, cells: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return the windows' boxes (n, 4), as shares of the map."""
        height, width = self.window
        rows, columns = cells // grid[1], cells % grid[1]
        total = cells.new_tensor([grid[1] + width - 1, grid[0] + height - 1]).float()
        first = torch.stack([columns, rows], dim=1) / total
        return torch.cat([first, first + cells.new_tensor([width, height]) / total], dim=1)

    def _chunks(self, grid: tuple[int, int], *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
        size = max(CHUNK // (grid[0] * grid[1] * self.vectors[0].numel()), 1)
        return zip(*(torch.split(column, size) for column in columns), strict=True)


def _unit(device: torch.device, length: int) -> float:
    """Return the relative error of a dot product of that length."""
    precision = torch.get_float32_matmul_precision()
    if precision == "medium":  # operands may be rounded to bfloat16
        return 2.0**-7
    if precision == "high" or device.type != "cpu":  # or to TensorFloat-32
        return 2.0**-10
    return 2.0**-24 * (8 + length / 8)
