"""The prototypes of a model: vectors, owners, provenance and use."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Prototypes(nn.Module):
    """Prototype vectors with the classes that own them, where they come from and how much they are used.

    Args:
        vectors: (P, ...) initial vectors, (P, D, h, w) for parts and (P, E) for whole images.
        owners: (P, C) bool, multi-hot.

    Attributes:
        source_index: (P,) the training image behind each prototype, −1 while unknown.
        source_box: (P, 4) its part, x0, y0, x1, y1 in pixels of the model's image, right and lower edge exclusive.
        source_distance: (P,) distance between prototype and source, NaN while unknown.
        activations: (P,) training images to which it is the most similar of all prototypes.
        own_activations: (P,) the same among the prototypes of the image's own class, −1 while not counted.
        mean_similarity: (P,) mean similarity to the training images.

    Example:
        >>> prototypes = Prototypes(torch.rand(4, 8, 1, 1), Prototypes.class_major(2, 2))
        >>> len(prototypes), prototypes.owner_names(("cat", "dog"))[3]
        (4, ('dog',))
    """

    owners: Tensor
    source_index: Tensor
    source_box: Tensor
    source_distance: Tensor
    activations: Tensor
    own_activations: Tensor
    mean_similarity: Tensor

    def __init__(self, vectors: Tensor, owners: Tensor) -> None:
        super().__init__()
        count = len(vectors)
        if len(owners) != count:
            raise ValueError(f"{count} prototype vectors but owners for {len(owners)}")
        self.vectors = nn.Parameter(vectors)
        self.register_buffer("owners", owners.bool())
        self.register_buffer("source_index", torch.full((count,), -1, dtype=torch.int64))
        self.register_buffer("source_box", torch.zeros(count, 4, dtype=torch.int64))
        self.register_buffer("source_distance", torch.full((count,), torch.nan))
        self.register_buffer("activations", torch.full((count,), -1, dtype=torch.int64))
        self.register_buffer("own_activations", torch.full((count,), -1, dtype=torch.int64))
        self.register_buffer("mean_similarity", torch.zeros(count))

    @classmethod
    def without_vectors(cls, owners: Tensor) -> Prototypes:
        """Attributes or concepts: they have owners (P, C), provenance and use, but no place in a latent space."""
        prototypes = cls(torch.empty(len(owners), 0), owners)
        prototypes.vectors.requires_grad_(False)
        return prototypes

    @property
    def placed(self) -> bool:
        """Whether they are vectors, in a space that they share with the images."""
        return self.vectors[0].numel() > 0 if len(self) else True

    @staticmethod
    def class_major(per_class: int, num_classes: int) -> Tensor:
        """Owners (P, C) of ``per_class`` prototypes for each class, class after class."""
        return torch.eye(num_classes, dtype=torch.bool).repeat_interleave(per_class, dim=0)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def usage_counted(self) -> bool:
        """Whether the use of the prototypes has been counted on the training images."""
        return bool((self.activations >= 0).all())

    def unused(self) -> Tensor:
        """Indices of the prototypes that are never the most similar of all ("ghosts")."""
        return (self.activations == 0).nonzero().flatten()

    def owner_names(self, classes: tuple[str, ...]) -> list[tuple[str, ...]]:
        """The names of each prototype's classes."""
        return [tuple(classes[c] for c in row.nonzero().flatten().tolist()) for row in self.owners.cpu()]

    @torch.no_grad()
    def keep(self, indices: Tensor) -> None:
        """Drop all prototypes but those at ``indices`` (K,), in that order."""
        self.vectors = nn.Parameter(self.vectors[indices].clone(), requires_grad=self.vectors.requires_grad)
        for name, buffer in list(self.named_buffers(recurse=False)):
            self.register_buffer(name, buffer[indices].clone())
