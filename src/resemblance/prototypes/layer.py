"""The prototype layer of a model, which projection, maps, usage and explanations use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from resemblance.prototypes.comparison import Comparison, Match, Places


class PrototypeLayer(nn.Module):
    """Prototypes with their owners (classes), their provenance and their usage.

    This is the base class, for prototypes without vectors in the latent space (attributes, concepts, channels), which
    do not project. `VectorPrototypes` compares vectors. A method that compares prototypes in another way overrides
    `forward`, `match` and, if it has them, `maps` and `at`.

    Args:
        owners: (P, C) bool, multi-hot.
        vectors: (P, ...) initial vectors; none by default.

    Attributes:
        vectors: (P, ...) the vectors; (P, 0) where there are none.
        source_index: (P,) the source image of each prototype in the training set, −1 while unknown.
        source_box: (P, 4) its part of that image, x0, y0, x1, y1 in pixels, right and lower edge exclusive.
        source_region: (P, 4) the part around the maximum of the prototype's map on that image, zeros while unknown. It
            is for pictures and is not saved, because it can be computed again.
        source_distance: (P,) distance between prototype and source, NaN while unknown.
        activations: (P,) the number of training images to which it is the most similar of all prototypes.
        own_activations: (P,) the same among the prototypes of the image's class, −1 while not counted.
        mean_similarity: (P,) mean similarity to the training images.
        has_maps: whether similarities belong to places in the image, see `maps`.

    Example:
        >>> prototypes = PrototypeLayer(PrototypeLayer.class_major(2, 2))
        >>> len(prototypes), prototypes.owner_names(("cat", "dog"))[3], prototypes.has_vectors
        (4, ('dog',), False)
    """

    owners: Tensor
    source_index: Tensor
    source_box: Tensor
    source_region: Tensor
    source_distance: Tensor
    activations: Tensor
    own_activations: Tensor
    mean_similarity: Tensor

    def __init__(self, owners: Tensor, vectors: Tensor | None = None) -> None:
        super().__init__()
        count = len(owners)
        if vectors is not None and len(vectors) != count:
            raise ValueError(f"{len(vectors)} prototype vectors but owners for {count}")
        # An empty tensor if there are no vectors: all model folders contain a tensor of this name.
        self.vectors = nn.Parameter(torch.empty(count, 0) if vectors is None else vectors)
        self.vectors.requires_grad_(vectors is not None)
        self.register_buffer("owners", owners.bool())
        self.register_buffer("source_index", torch.full((count,), -1, dtype=torch.int64))
        self.register_buffer("source_box", torch.zeros(count, 4, dtype=torch.int64))
        self.register_buffer("source_region", torch.zeros(count, 4, dtype=torch.int64), persistent=False)
        self.register_buffer("source_distance", torch.full((count,), torch.nan))
        self.register_buffer("activations", torch.full((count,), -1, dtype=torch.int64))
        self.register_buffer("own_activations", torch.full((count,), -1, dtype=torch.int64))
        self.register_buffer("mean_similarity", torch.zeros(count))

    # Kinds of prototypes define these.

    def forward(self, latents: Tensor) -> Comparison:
        """Compare images with all prototypes; head and loss read the result."""
        raise NotImplementedError(f"{type(self).__name__} does not define a comparison")

    def match(self, latents: Tensor) -> Match:
        """Return the distances of images to each prototype and the nearest cells; by default negative similarities.

        Without gradient. The order is that of the geometry, which can differ from that of the pooled similarities.
        """
        with torch.no_grad():
            similarities = self(latents).similarities
            return Match(-similarities, torch.zeros_like(similarities, dtype=torch.int64))

    @property
    def has_maps(self) -> bool:
        """Whether similarities belong to places in the image."""
        return False

    def maps(self, latents: Tensor, which: Tensor | None = None) -> Tensor:
        """Return the similarity of each cell to the prototypes ``which`` (K,), by default all: (B, K, h, w).

        Raises:
            NotImplementedError: where `has_maps` is false.
        """
        raise NotImplementedError(f"{type(self).__name__} has no similarity maps")

    def grid(self, latents: Tensor) -> tuple[int, int]:
        """Return rows and columns of the cells of `match`; (1, 1) for whole images."""
        return (latents.shape[-2], latents.shape[-1]) if self.has_maps else (1, 1)

    def at(self, latents: Tensor, rows: Tensor, which: Tensor) -> Places:
        """Return the places where the images ``rows`` (n,) are nearest to the prototypes ``which`` (n,), exactly.

        Raises:
            NotImplementedError: for prototypes that do not project.
        """
        raise NotImplementedError(f"{type(self).__name__} does not project")

    def source_maps(self, latents: Tensor, rows: Tensor, which: Tensor, vectors: Tensor) -> Tensor | None:
        """Return the similarity maps (n, h, w) of the images ``rows`` to ``vectors``, as prototypes ``which``.

        Projection cuts the boxes of the sources from them. None for whole images.
        """
        return None

    def shares(self, latents: Any, which: Tensor, released: bool = False) -> Tensor:
        """Return the share of each number of the latents in the similarity of image b to prototype ``which[b]``.

        Relevance begins with them (PRP). Only the place of the largest similarity has shares.

        Args:
            latents: of B images.
            which: (B,).
            released: by the formula of the authors' code, where it differs.

        Returns:
            As the latents, with sums of 1 for each image, or 0 where nothing can be shared.

        Raises:
            NotImplementedError: for prototypes without a settled rule.
        """
        raise NotImplementedError(f"{type(self).__name__} has no rule of relevance")

    def rounding_error(self, latents: Tensor) -> Tensor:
        """Return a bound (P,) of the difference between the values of `match` and of `at`."""
        return torch.full((len(self),), 1e-5, device=latents.device)

    def patch_boxes(self, cells: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> Tensor | None:
        """Return the rectangles (n, 4) in an image of ``size`` for cells (n,), where all have a fixed size.

        None: explanations then show the highlighted part of the map, and sources of prototypes the cell itself.
        """
        return None

    def normalized(self, vectors: Tensor) -> Tensor:
        """Return vectors as they are compared; normalised where only the direction counts."""
        return vectors

    def between(self) -> Tensor | None:
        """Return the similarity of each prototype, as if it were a patch, to all prototypes: (P, P) float64.

        None for prototypes without vectors, which are not compared.
        """
        return None

    def components(self, latents: Any) -> Iterator[tuple[int, PrototypeLayer, Any]]:
        """Yield the layers of which this one consists, each with the index of its first prototype and its latents."""
        yield 0, self, latents

    # All of them share these.

    @property
    def has_vectors(self) -> bool:
        """Whether the prototypes are vectors, in a space that they share with the images."""
        return self.vectors[0].numel() > 0 if len(self) else True

    @staticmethod
    def class_major(per_class: int, num_classes: int) -> Tensor:
        """Return the owners (P, C) for ``per_class`` prototypes per class, in the order of the classes."""
        return torch.eye(num_classes, dtype=torch.bool).repeat_interleave(per_class, dim=0)

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        """Load saved tensors; regions are not saved, and those of other tensors, or of more prototypes, do not stay."""
        super()._load_from_state_dict(*args, **options)
        self.source_region = self.source_region.new_zeros(len(self.owners), 4)

    def __len__(self) -> int:
        return len(self.owners)

    @property
    def usage_counted(self) -> bool:
        """Whether the usage of the prototypes has been counted on the training images."""
        return bool((self.activations >= 0).all())

    def unused(self) -> Tensor:
        """Return the indices of the prototypes that are never the most similar of all ("ghosts")."""
        return (self.activations == 0).nonzero().flatten()

    def owner_names(
        self, classes: tuple[str, ...], which: Sequence[int] | None = None
    ) -> list[tuple[str, ...]]:
        """Return the names of the classes of each prototype, or of those numbered ``which``."""
        owners = (self.owners if which is None else self.owners[list(which)]).cpu()
        names: list[list[str]] = [[] for _ in owners]
        for number, c in owners.nonzero().tolist():
            names[number].append(classes[c])
        return list(map(tuple, names))

    @torch.no_grad()
    def keep(self, indices: Tensor) -> None:
        """Drop all prototypes but those at ``indices`` (K,), in that order."""
        self.vectors = nn.Parameter(self.vectors[indices].clone(), requires_grad=self.vectors.requires_grad)
        for name, buffer in list(self.named_buffers(recurse=False)):
            setattr(self, name, buffer[indices].clone())  # it stays a buffer, saved or not
