"""The prototypes of a model: one module that projection, maps, usage and explanations talk to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from resemblance.prototypes.comparison import Comparison, Match, Places


class PrototypeLayer(nn.Module):
    """Prototypes with the classes that own them, where they come from and how much they are used.

    This is the base, for prototypes without a place in the latent space (attributes, concepts, channels): they have
    no vectors and do not project. `VectorPrototypes` compares vectors. A method whose prototypes compare in another
    way overrides `forward`, `match` and, if it has them, `maps` and `at`.

    Args:
        owners: (P, C) bool, multi-hot.
        vectors: (P, ...) initial vectors; none by default.

    Attributes:
        vectors: (P, ...) the vectors; (P, 0) where there are none.
        source_index: (P,) the training image behind each prototype, −1 while unknown.
        source_box: (P, 4) its part, x0, y0, x1, y1 in pixels of the model's image, right and lower edge exclusive.
        source_distance: (P,) distance between prototype and source, NaN while unknown.
        activations: (P,) training images to which it is the most similar of all prototypes.
        own_activations: (P,) the same among the prototypes of the image's own class, −1 while not counted.
        mean_similarity: (P,) mean similarity to the training images.
        has_maps: whether similarities have a place in the image, `maps`.

    Example:
        >>> prototypes = PrototypeLayer(PrototypeLayer.class_major(2, 2))
        >>> len(prototypes), prototypes.owner_names(("cat", "dog"))[3], prototypes.has_vectors
        (4, ('dog',), False)
    """

    owners: Tensor
    source_index: Tensor
    source_box: Tensor
    source_distance: Tensor
    activations: Tensor
    own_activations: Tensor
    mean_similarity: Tensor

    def __init__(self, owners: Tensor, vectors: Tensor | None = None) -> None:
        super().__init__()
        count = len(owners)
        if vectors is not None and len(vectors) != count:
            raise ValueError(f"{len(vectors)} prototype vectors but owners for {count}")
        # Without vectors an empty tensor: the folders of all models have one of this name.
        self.vectors = nn.Parameter(torch.empty(count, 0) if vectors is None else vectors)
        self.vectors.requires_grad_(vectors is not None)
        self.register_buffer("owners", owners.bool())
        self.register_buffer("source_index", torch.full((count,), -1, dtype=torch.int64))
        self.register_buffer("source_box", torch.zeros(count, 4, dtype=torch.int64))
        self.register_buffer("source_distance", torch.full((count,), torch.nan))
        self.register_buffer("activations", torch.full((count,), -1, dtype=torch.int64))
        self.register_buffer("own_activations", torch.full((count,), -1, dtype=torch.int64))
        self.register_buffer("mean_similarity", torch.zeros(count))

    # What a kind of prototypes defines.

    def forward(self, latents: Tensor) -> Comparison:
        """Compare images with all prototypes: all that head and loss read."""
        raise NotImplementedError(f"{type(self).__name__} does not compare")

    def match(self, latents: Tensor) -> Match:
        """Return how near images come to each prototype, and where; by default the most similar is the nearest.

        Without gradient. The order is that of the geometry and need not be that of the pooled similarities.
        """
        with torch.no_grad():
            similarities = self(latents).similarities
            return Match(-similarities, torch.zeros_like(similarities, dtype=torch.int64))

    @property
    def has_maps(self) -> bool:
        """Whether similarities have a place in the image."""
        return False

    def maps(self, latents: Tensor, which: Tensor | None = None) -> Tensor:
        """Return the similarity of each cell to the prototypes ``which`` (K,), by default all: (B, K, h, w).

        Raises:
            NotImplementedError: where `has_maps` is false.
        """
        raise NotImplementedError(f"{type(self).__name__} has no similarity maps")

    def grid(self, latents: Tensor) -> tuple[int, int]:
        """Return the rows and columns of the cells that `match` counts; (1, 1) for whole images."""
        return (latents.shape[-2], latents.shape[-1]) if self.has_maps else (1, 1)

    def at(self, latents: Tensor, rows: Tensor, which: Tensor) -> Places:
        """Return where the images ``rows`` (n,) come nearest to the prototypes ``which`` (n,), measured exactly.

        Raises:
            NotImplementedError: for prototypes that do not project.
        """
        raise NotImplementedError(f"{type(self).__name__} does not project")

    def source_maps(self, latents: Tensor, rows: Tensor, which: Tensor, vectors: Tensor) -> Tensor | None:
        """Return the maps (n, h, w) of the images ``rows``, were the prototypes ``which`` these ``vectors``.

        From them projection cuts the boxes of the sources. None for whole images.
        """
        return None

    def rounding_error(self, latents: Tensor) -> Tensor:
        """Return a bound (P,) on the difference between the values of `match` and of `at`."""
        return torch.full((len(self),), 1e-5, device=latents.device)

    def patch_boxes(self, cells: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor | None:
        """Return the rectangles (n, 4) of an image of ``size`` that stand for cells (n,), where these are of one size.

        None: explanations show what the map highlights, the sources of prototypes the cell itself.
        """
        return None

    def normalized(self, vectors: Tensor) -> Tensor:
        """Return vectors as they are compared; where a direction counts, without their lengths."""
        return vectors

    def components(self, latents: Any) -> Iterator[tuple[int, PrototypeLayer, Any]]:
        """Yield the layers that this one is made of, with the number of their first prototype and their latents."""
        yield 0, self, latents

    # What all of them share.

    @property
    def has_vectors(self) -> bool:
        """Whether they are vectors, in a space that they share with the images."""
        return self.vectors[0].numel() > 0 if len(self) else True

    @staticmethod
    def class_major(per_class: int, num_classes: int) -> Tensor:
        """Return owners (P, C) of ``per_class`` prototypes for each class, class after class."""
        return torch.eye(num_classes, dtype=torch.bool).repeat_interleave(per_class, dim=0)

    def __len__(self) -> int:
        return len(self.owners)

    @property
    def usage_counted(self) -> bool:
        """Whether the use of the prototypes has been counted on the training images."""
        return bool((self.activations >= 0).all())

    def unused(self) -> Tensor:
        """Return the indices of the prototypes that are never the most similar of all ("ghosts")."""
        return (self.activations == 0).nonzero().flatten()

    def owner_names(self, classes: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return the names of each prototype's classes."""
        return [tuple(classes[c] for c in row.nonzero().flatten().tolist()) for row in self.owners.cpu()]

    @torch.no_grad()
    def keep(self, indices: Tensor) -> None:
        """Drop all prototypes but those at ``indices`` (K,), in that order."""
        self.vectors = nn.Parameter(self.vectors[indices].clone(), requires_grad=self.vectors.requires_grad)
        for name, buffer in list(self.named_buffers(recurse=False)):
            self.register_buffer(name, buffer[indices].clone())
