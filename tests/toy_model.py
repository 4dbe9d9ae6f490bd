"""A model small enough to check by hand that keeps the whole contract: ProtoPNet without an encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resemblance.config.image import ImageSpec
from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.model import Model
from resemblance.core.output import Evidence, Output
from resemblance.prototypes.layer import Prototypes
from resemblance.prototypes.similarity import log_similarity, squared_distances


class Toy(Model):
    """Latents are the image's 4×4 blocks; each prototype is one colour; weight × similarity + bias."""

    name = "toy"
    maps = True
    projects = True

    def __init__(self, classes=("cat", "dog", "eel"), per_class=2, size=16, channels=3):
        spec = ModelSpec(
            tuple(classes), ImageSpec(size, size, channels, (0.0,) * channels, (1.0,) * channels)
        )
        super().__init__(MethodConfig(), spec)
        generator = torch.Generator().manual_seed(0)
        owners = Prototypes.class_major(per_class, len(classes))
        self.prototypes = Prototypes(torch.rand(len(owners), channels, 1, 1, generator=generator), owners)
        self.last = nn.Linear(len(owners), len(classes))
        with torch.no_grad():
            self.last.weight.copy_(owners.T * 1.5 - 0.5)
            self.last.bias.copy_(torch.linspace(-1, 1, len(classes)))

    def latents(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(self.normalize(images), 4)

    def head(self, latents: Tensor) -> Output:
        similarities = self.similarity_maps(latents).amax(dim=(2, 3))
        return Output(self.last(similarities), similarities, latents)

    def similarity_maps(self, latents: Tensor) -> Tensor:
        return log_similarity(squared_distances(latents, self.prototypes.vectors))

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
    maps = False

    def head(self, latents: Tensor) -> Output:
        similarities = self.similarity_maps(latents).amax(dim=(2, 3))
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
    maps = False
    order = "similarity"

    def head(self, latents: Tensor) -> Output:
        similarities = -squared_distances(latents, self.prototypes.vectors).amin(dim=(2, 3))
        return Output(self.last(similarities), similarities, latents)


class Ballot(Nearest):
    """Like KMEx with patches: scores are votes."""

    name = "ballot"
    score_kind = "votes"
