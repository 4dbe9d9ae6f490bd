"""A model whose latent map is the image itself, so that tests can choose the latents."""

from __future__ import annotations

import torch

from resemblance.config.image import ImageSpec
from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.output import Output
from resemblance.core.traits import Traits
from resemblance.data.batch import Batch
from resemblance.methods.base import PrototypeMethod
from resemblance.prototypes.similarity import linear_similarity, log_similarity
from resemblance.prototypes.vectors import VectorPrototypes


class LookingGlass(PrototypeMethod):
    """Compare patches of the image with the prototypes by squared distance."""

    name = "looking glass"
    traits = Traits(maps=True, projects=True, prunes=True)
    activation = staticmethod(log_similarity)

    def __init__(self, vectors, owners, size):
        classes = tuple(f"class {c}" for c in range(max(owners.shape[1], 2)))
        super().__init__(MethodConfig(), ModelSpec(classes, ImageSpec(*size, 1, (0.0,), (1.0,))))
        self.prototypes = VectorPrototypes(vectors.clone(), owners, activation=self.activation)

    def latents(self, images):
        return images

    def head(self, latents):
        similarities = self.prototypes(latents).similarities
        return Output(similarities @ self.prototypes.owners.float(), similarities, latents)


class Whole(LookingGlass):
    """The same for whole images, without maps; its prototypes do not project."""

    traits = Traits()
    activation = staticmethod(linear_similarity)

    def latents(self, images):
        return images.flatten(1)


def batches(images, labels, size, order=None):
    """Return batches of that size, in that order."""
    order = torch.arange(len(images)) if order is None else torch.as_tensor(order)
    return [Batch(images[part], labels[part], part) for part in order.split(size)]
