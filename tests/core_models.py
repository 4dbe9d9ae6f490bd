"""Two small models that are not methods of the library, to test that the contract fits their kinds.

`Occurrence` selects its patch by a predicted map, as XProtoNet (Kim et al., CVPR 2021); `SubPatches` matches several
parts greedily, as ProtoViT (Ma et al., NeurIPS 2024). Both have random weights and single labels.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.config.image import ImageSpec
from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.output import Evidence, Output
from resemblance.core.recipe import Group, Recipe, Stage
from resemblance.core.traits import Traits
from resemblance.methods.base import PrototypeMethod
from resemblance.prototypes.comparison import Comparison, Match, Places
from resemblance.prototypes.geometry import InnerProduct
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.precision import full_precision, widened, widest
from resemblance.prototypes.similarity import linear_similarity
from resemblance.prototypes.vectors import VectorPrototypes

DEPTH, SIDE = 6, 5  # channels and rows of the latent map


class OccurrencePrototypes(VectorPrototypes):
    """f_k = Σ_u M_k(u) F(u), compared by cosine: the patch depends on the prototype.

    The latents are F (B, D, h, w) and, behind its channels, the occurrence maps M (B, P, h, w).
    """

    def __init__(self, vectors: Tensor, owners: Tensor) -> None:
        super().__init__(vectors, owners, InnerProduct(True, unit_patches=True), linear_similarity)

    @property
    def has_maps(self) -> bool:
        return True

    def patches(self, latents: Tensor, rows: Tensor) -> Tensor:
        """f (n, P, D): the patch of each prototype in the images ``rows``."""
        features, maps = self.split(latents[rows])
        return torch.einsum("nphw,ndhw->npd", maps, features)

    def split(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        return latents[:, :DEPTH], latents[:, DEPTH:]

    def forward(self, latents: Tensor) -> Comparison:
        with full_precision(latents):
            patches = self.patches(widened(latents), torch.arange(len(latents), device=latents.device))
            return Comparison(F.cosine_similarity(patches, self.vectors, dim=2))

    @torch.no_grad()
    def match(self, latents: Tensor) -> Match:
        _, maps = self.split(latents)
        return Match(-self(latents).similarities, maps.flatten(2).argmax(dim=2))

    def maps(self, latents: Tensor, which: Tensor | None = None) -> Tensor:
        maps = widened(self.split(latents)[1])
        return maps if which is None else maps[:, which]

    def grid(self, latents: Tensor) -> tuple[int, int]:
        return latents.shape[2], latents.shape[3]

    @torch.no_grad()
    def at(self, latents: Tensor, rows: Tensor, which: Tensor) -> Places:
        patches = self.patches(latents.to(widest(latents.device)), rows)[torch.arange(len(rows)), which]
        vectors = self.vectors[which]
        values = self.geometry.measure(patches, vectors)
        kept = patches.to(vectors.dtype)
        values = values.masked_fill((kept == vectors).all(dim=1), -torch.inf)
        cells = self.maps(latents[rows])[torch.arange(len(rows)), which].flatten(1).argmax(dim=1)
        whole = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(len(rows), 1, 4)
        return Places(values, cells, kept, whole, torch.ones(len(rows), 1, dtype=torch.bool))

    def source_maps(self, latents: Tensor, rows: Tensor, which: Tensor, vectors: Tensor) -> Tensor:
        return self.maps(latents[rows])[torch.arange(len(rows)), which]

    def rounding_error(self, latents: Tensor) -> Tensor:
        return torch.full((len(self),), 1e-5)


class SubPatchPrototypes(VectorPrototypes):
    """n sub-vectors (P, D, n), each matched to a cell, greedily; g = Σ a·n/Σa·cosine over slots that are on."""

    def __init__(self, vectors: Tensor, owners: Tensor) -> None:
        super().__init__(vectors, owners, InnerProduct(True, unit_patches=True), linear_similarity)
        self.register_buffer("slots", torch.full((len(vectors), vectors.shape[2]), 0.1))  # q

    @property
    def has_maps(self) -> bool:
        return True

    def present(self) -> Tensor:
        """a (P, n): close to 0 or 1."""
        return torch.sigmoid(100 * self.slots)

    def cosines(self, latents: Tensor) -> Tensor:
        """(B, P, n, h, w)."""
        units = F.normalize(widened(latents), dim=1)
        return torch.einsum("bdhw,pdn->bpnhw", units, F.normalize(self.vectors, dim=1))

    def picks(self, cosines: Tensor) -> tuple[Tensor, Tensor]:
        """Greedy matching: values and cells (..., n) of cosines (..., n, h, w).

        Repeat n times: over unused sub-vectors and unused cells adjacent to the previous pick (the first pick is free)
        take the largest.
        """
        *outer, count, height, width = cosines.shape
        flat = cosines.reshape(-1, count, height * width)
        size = len(flat)
        free = torch.ones_like(flat, dtype=torch.bool)
        cell = torch.arange(height * width)
        rows, columns = cell // width, cell % width
        near = torch.maximum((rows[:, None] - rows).abs(), (columns[:, None] - columns).abs()) <= 1
        values, cells = flat.new_zeros(size, count), torch.zeros(size, count, dtype=torch.int64)
        allowed = free
        for _ in range(count):
            best = flat.masked_fill(~allowed, -torch.inf).flatten(1).argmax(dim=1)
            sub, place = best // (height * width), best % (height * width)
            every = torch.arange(size)
            values[every, sub], cells[every, sub] = flat[every, sub, place], place
            free = free.clone()
            free[every, sub], free[every, :, place] = False, False
            allowed = free & near[place][:, None]
        return values.reshape(*outer, count), cells.reshape(*outer, count)

    def forward(self, latents: Tensor) -> Comparison:
        with full_precision(latents):
            cosines = self.cosines(latents)
            _, cells = self.picks(cosines.detach())
            values = cosines.flatten(3).gather(3, cells[..., None])[..., 0]  # (B, P, n)
            return Comparison(self.pooled(values))

    def pooled(self, values: Tensor) -> Tensor:
        present = self.present()
        return (values * present).sum(dim=-1) * values.shape[-1] / (present.sum(dim=-1) + 1e-10)

    @torch.no_grad()
    def match(self, latents: Tensor) -> Match:
        values, cells = self.picks(self.cosines(latents))
        return Match(-self.pooled(values), cells[..., 0])

    def maps(self, latents: Tensor, which: Tensor | None = None) -> Tensor:
        """The largest cosine of any sub-vector that is on, at each cell."""
        cosines = self.cosines(latents).masked_fill(~(self.present() > 0.5)[:, :, None, None], -1).amax(dim=2)
        return cosines if which is None else cosines[:, which]

    def grid(self, latents: Tensor) -> tuple[int, int]:
        return latents.shape[2], latents.shape[3]

    @torch.no_grad()
    def at(self, latents: Tensor, rows: Tensor, which: Tensor) -> Places:
        every = torch.arange(len(rows))
        wide = latents[rows].to(widest(latents.device))
        units = F.normalize(self.vectors[which].to(wide.dtype), dim=1)  # (n, D, K)
        cosines = torch.einsum("bdhw,bdk->bkhw", F.normalize(wide, dim=1), units)
        values, cells = self.picks(cosines)
        present = self.present()[which]
        pooled = (values * present).sum(dim=1) * values.shape[1] / (present.sum(dim=1) + 1e-10)
        on = present > 0.5
        kept = latents[rows].flatten(2)[every[:, None], :, cells].transpose(1, 2)  # (n, D, K)
        kept = torch.where(on[:, None], kept, self.vectors[which])
        itself = (kept == self.vectors[which]).flatten(1).all(dim=1)
        height, width = self.grid(latents)
        corner = torch.stack([cells % width, cells // width], dim=2) / torch.tensor([width, height])
        boxes = torch.cat([corner, corner + 1 / torch.tensor([width, height])], dim=2)
        return Places((-pooled).masked_fill(itself, -torch.inf), cells[:, 0], kept, boxes, on)

    def source_maps(self, latents: Tensor, rows: Tensor, which: Tensor, vectors: Tensor) -> Tensor:
        units = F.normalize(vectors, dim=1)
        cosines = torch.einsum("bdhw,bdk->bkhw", F.normalize(latents[rows], dim=1), units)
        return cosines.masked_fill(~(self.present()[which] > 0.5)[:, :, None, None], -1).amax(dim=1)

    def rounding_error(self, latents: Tensor) -> Tensor:
        return torch.full((len(self),), 1e-5)


class SmallModel(PrototypeMethod):
    """A convolution, prototypes, and a linear layer without bias."""

    traits = Traits(maps=True, projects=True, prunes=True)

    def __init__(self, classes: int = 3, per_class: int = 2, channels: int = 1, size: int = 20) -> None:
        image = ImageSpec(size, size, channels, (0.5,) * channels, (0.25,) * channels)
        super().__init__(MethodConfig(), ModelSpec(tuple(f"class {c}" for c in range(classes)), image))
        owners = PrototypeLayer.class_major(per_class, classes)
        self.body = nn.Conv2d(channels, DEPTH, 4, stride=4)
        self.prototypes = self.make_prototypes(owners)
        self.last = nn.Linear(len(owners), classes, bias=False)
        with torch.no_grad():
            self.last.weight.copy_(owners.T * 1.5 - 0.5)

    def make_prototypes(self, owners: Tensor) -> VectorPrototypes:
        raise NotImplementedError

    def latents(self, images: Tensor) -> Tensor:
        return self.body(self.normalize(images)).relu()

    def head(self, latents: Tensor) -> Output:
        with full_precision(latents):
            latents = widened(latents)
            similarities = self.prototypes(latents).similarities
            return Output(self.last(similarities), similarities, latents)

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        weights = widened(self.last.weight)[classes]
        no_bias = weights.new_zeros(len(classes))
        return Evidence(weights * output.similarities, no_bias, torch.arange(len(self.prototypes)), weights)

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": F.cross_entropy(output.scores, labels)}

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {
            "body": list(self.body.parameters()),
            "prototypes": [self.prototypes.vectors],
            "last": list(self.last.parameters()),
        }

    def recipe(self) -> Recipe:
        groups = {name: Group(1e-3) for name in self.parameter_groups()}
        return Recipe((Stage("all", 2, groups, end=("project", "prune", "usage")),), batch_size=16)

    def keep(self, indices: Tensor) -> None:
        super().keep(indices)
        self.last.weight = nn.Parameter(self.last.weight.detach()[:, indices].clone())


class Occurrence(SmallModel):
    """As in XProtoNet: a network predicts a map of where a prototype occurs, and the patch is the weighted sum."""

    name = "occurrence"

    def make_prototypes(self, owners: Tensor) -> VectorPrototypes:
        self.occurrence = nn.Conv2d(DEPTH, len(owners), 1)
        return OccurrencePrototypes(torch.rand(len(owners), DEPTH), owners)

    def latents(self, images: Tensor) -> Tensor:
        features = super().latents(images)
        return torch.cat([features, self.occurrence(features).sigmoid()], dim=1)

    def embed(self, latents: Tensor) -> Tensor:
        return latents[:, :DEPTH].mean(dim=(2, 3))

    def keep(self, indices: Tensor) -> None:
        super().keep(indices)
        for name, parameter in list(self.occurrence.named_parameters()):
            setattr(self.occurrence, name, nn.Parameter(parameter.detach()[indices].clone()))


class SubPatches(SmallModel):
    """As in ProtoViT: a prototype has several sub-vectors, each matched to a different cell."""

    name = "sub-patches"
    traits = replace(SmallModel.traits, prunes=False)

    def make_prototypes(self, owners: Tensor) -> VectorPrototypes:
        return SubPatchPrototypes(torch.rand(len(owners), DEPTH, 2), owners)

    def recipe(self) -> Recipe:
        recipe = super().recipe()
        return replace(recipe, stages=(replace(recipe.stages[0], end=("project", "usage")),))
