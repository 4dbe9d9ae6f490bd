"""A model whose latent map is the image itself, so that tests choose the latents."""

from __future__ import annotations

import torch

from resemblance.config.image import ImageSpec
from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.model import Model
from resemblance.core.output import Match, Output
from resemblance.data.batch import Batch
from resemblance.prototypes.layer import Prototypes
from resemblance.prototypes.similarity import log_similarity, nearest_patches, squared_distances


class LookingGlass(Model):
    """Patches of the image against the prototypes, by squared distance."""

    name = "looking glass"
    maps = True
    projects = True
    prunes = True

    def __init__(self, vectors, owners, size):
        classes = tuple(f"class {c}" for c in range(max(owners.shape[1], 2)))
        super().__init__(MethodConfig(), ModelSpec(classes, ImageSpec(*size, 1, (0.0,), (1.0,))))
        self.prototypes = Prototypes(vectors.clone(), owners)

    def latents(self, images):
        return images

    def head(self, latents):
        similarities = self.similarity_maps(latents).flatten(2).amax(2)
        return Output(similarities @ self.prototypes.owners.float(), similarities, latents)

    def match(self, latents):
        return Match(*nearest_patches(latents, self.prototypes.vectors))

    def similarity_maps(self, latents):
        return log_similarity(squared_distances(latents, self.prototypes.vectors))

    def similarity_of(self, distances):
        return log_similarity(distances)


class Whole(LookingGlass):
    """The same of whole images, without maps; its prototypes stay where they are."""

    maps = False
    projects = False
    prunes = False

    def latents(self, images):
        return images.flatten(1)

    def head(self, latents):
        similarities = -self.match(latents).values
        return Output(similarities @ self.prototypes.owners.float(), similarities, latents)

    def match(self, latents):
        distances = (latents[:, None] - self.prototypes.vectors).square().sum(2)
        return Match(distances, torch.zeros_like(distances, dtype=torch.int64))


def batches(images, labels, size, order=None):
    """Batches of that size, in that order."""
    order = torch.arange(len(images)) if order is None else torch.as_tensor(order)
    return [Batch(images[part], labels[part], part) for part in order.split(size)]
