"""A model that is small enough to check by hand and fulfils the whole contract: ProtoPNet without an encoder."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from resemblance.config.image import ImageSpec
from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.output import Evidence, Output
from resemblance.core.traits import Traits
from resemblance.methods.base import PrototypeMethod
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.similarity import linear_similarity, log_similarity
from resemblance.prototypes.vectors import VectorPrototypes


class Unmapped(VectorPrototypes):
    """The same similarities, without maps."""

    @property
    def has_maps(self):
        return False

    def compared(self, latents):
        return latents

    def nearest(self, latents):
        return self.geometry.nearest(latents, self.vectors)


class Toy(PrototypeMethod):
    """Latents are the image's 4×4 blocks; each prototype is one colour; weight × similarity + bias."""

    name = "toy"
    traits = Traits(maps=True, projects=True)
    activation = staticmethod(log_similarity)

    def __init__(self, classes=("cat", "dog", "eel"), per_class=2, size=16, channels=3):
        spec = ModelSpec(
            tuple(classes), ImageSpec(size, size, channels, (0.0,) * channels, (1.0,) * channels)
        )
        super().__init__(MethodConfig(), spec)
        generator = torch.Generator().manual_seed(0)
        owners = PrototypeLayer.class_major(per_class, len(classes))
        vectors = torch.rand(len(owners), channels, 1, 1, generator=generator)
        kind = VectorPrototypes if self.traits.maps else Unmapped
        self.prototypes = kind(vectors, owners, activation=self.activation)
        self.last = nn.Linear(len(owners), len(classes))
        with torch.no_grad():
            self.last.weight.copy_(owners.T * 1.5 - 0.5)
            self.last.bias.copy_(torch.linspace(-1, 1, len(classes)))

    def latents(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(self.normalize(images), 4)

    def head(self, latents: Tensor) -> Output:
        similarities = self.prototypes(latents).similarities
        return Output(self.last(similarities), similarities, latents)

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        weights = self.last.weight[classes]
        return Evidence(
            weights * output.similarities,
            self.last.bias[classes],
            torch.arange(len(self.prototypes)),
            weights,
        )


class Nearest(Toy):
    """Like KMEx: a class's score is the similarity of its nearest prototype, without weights or maps."""

    name = "nearest"
    traits = replace(Toy.traits, maps=False)

    def head(self, latents: Tensor) -> Output:
        similarities = self.prototypes(latents).similarities
        own = similarities[:, None].masked_fill(~self.prototypes.owners.T, -torch.inf)  # (B, C, P)
        return Output(own.amax(dim=2), similarities, latents)

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        own = self.prototypes.owners.T[classes]
        best = output.similarities.masked_fill(~own, -torch.inf).argmax(dim=1, keepdim=True)
        contributions = torch.zeros_like(output.similarities).scatter(
            1, best, output.similarities.gather(1, best)
        )
        return Evidence(contributions, torch.zeros(len(classes)), torch.arange(len(self.prototypes)))


class Distances(Toy):
    """Like PrototypeDL: similarity is a negative squared distance, reasons are ordered by it."""

    name = "distances"
    traits = Traits(projects=True, order="similarity")
    activation = staticmethod(linear_similarity)


class Ballot(Nearest):
    """Like KMEx with patches: scores are votes."""

    name = "ballot"
    traits = replace(Nearest.traits, score_kind="votes")
