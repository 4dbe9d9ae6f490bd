"""Deformable ProtoPNet: prototypes of several parts that move (Donnelly et al., CVPR 2022).

A prototype p^(c,l) has ρ parts p̂_mn, a square of vectors of length r = 1/√ρ; the vectors of the latent map are
scaled to that length too, ẑ. A part does not look at one fixed cell of the window around (a, b) but where an offset
leads it, which a small convolutional network δ predicts from the map; between cells it sees the root of the
interpolated squares, so that lengths stay what they are (`methods.deformable.model.deform`). All parts together are compared by

    g(ẑ)_ab = Σ_mn p̂_mn · ẑ at (a + m + Δ₁, b + n + Δ₂),     Δ = δ(ẑ)                    (section 3.1)
    g(ẑ)    = max over (a, b) of g(ẑ)_ab                     the cosine of an angle θ
    score_c = Σ_j w_cj g_j

Training brings foreign prototypes nearer by an angle φ, and judges by the scores that this gives:

    g⁻(ẑ) = cos(max(θ − φ, 0)) for prototypes of other classes, g(ẑ) for the image's own      (section 3.3)

The offsets belong to the image and are the same for all prototypes. They ride along behind the channels of ẑ, so that
whoever reads the latents reads the same offsets.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.output import Match, Output
from resemblance.core.recipe import Group, Recipe, Schedule, Stage
from resemblance.core.training_step import TrainingStep
from resemblance.encoders.build import Encoder
from resemblance.methods.deformable.angles import (
    class_bases,
    orthogonality,
    released_orthogonality,
    with_margin,
)
from resemblance.methods.deformable.config import DeformableConfig
from resemblance.methods.deformable.deform import corners, places, sample, strongest, window_grid
from resemblance.methods.weighted_parts.model import WeightedParts, mean_minimum
from resemblance.prototypes.layer import Prototypes
from resemblance.prototypes.precision import full_precision

EPSILON = 1e-4  # the value of the uniform channels, which keep vectors from being zero
LONGEST = 1.01  # the authors divide by this, to keep away from the corner of the arc cosine
SCALE = 64.0  # of what δ reads


class Deformable(WeightedParts):
    """Deformable prototypes, cosines with a margin, and a linear last layer without bias.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: gives the latent map; its own classifier is not needed.
        owners: (P, C) class of each prototype; by default ``prototypes_per_class`` for each class.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("deformable", {"encoder": "small"}, spec).eval()
        >>> output = model(torch.rand(3, 1, 28, 28))
        >>> evidence = model.evidence(output, output.scores.argmax(1))
        >>> torch.allclose(evidence.contributions.sum(1), output.scores.amax(1), atol=1e-4)
        True
        >>> model.part_boxes(output.latents, torch.tensor([0]), torch.tensor([5])).shape
        torch.Size([1, 9, 4])
    """

    def __init__(
        self, config: DeformableConfig, spec: ModelSpec, encoder: Encoder, owners: Tensor | None = None
    ) -> None:
        super().__init__(config, spec, encoder, owners, (config.parts, config.parts))
        self.config: DeformableConfig = config
        self.released = config.variant == "released"
        self.warm = False
        self.rho = config.parts**2
        self.depth = self.addon.channels
        # Vectors have the uniform channels of the latents too, so that patches fit; what they hold is not read.
        uniform = 2 if self.released else 1
        vectors = F.pad(self.prototypes.vectors.detach(), (0, 0, 0, 0, 0, uniform), value=EPSILON)
        self.prototypes = Prototypes(vectors, self.prototypes.owners)
        self.channels = self.depth + uniform
        first = nn.Conv2d(self.channels, config.offset_channels, config.parts + 2, padding=1)
        second = nn.Conv2d(config.offset_channels, 2 * self.rho, config.parts, padding=1)
        for layer in (first, second):
            nn.init.normal_(layer.weight, std=2e-5)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        self.offsets = nn.Sequential(first, nn.ReLU(), second)
        self._check(spec.image)

    def _check(self, image: ImageSpec) -> None:
        times, size = self.config.upsample, self.encoder.map_size(image)
        if min(window_grid((times * size[0], times * size[1]), self.config.parts)) < 1:
            raise UserError(
                f"prototypes of {self.config.parts}x{self.config.parts} parts do not fit on the map of "
                f"{size[0]}x{size[1]} cells: use fewer --parts, more --upsample or a larger --image-size"
            )

    # forward

    def unit_vectors(self, vectors: Tensor) -> Tensor:
        """ẑ or p̂: with a uniform channel of ε appended, and of length r = 1/√ρ; (B, D, h, w) → (B, E, h, w)."""
        vectors = F.pad(vectors, (0, 0, 0, 0, 0, self.channels - self.depth), value=EPSILON)
        squares = vectors.square().sum(dim=1, keepdim=True)
        # The authors' lengths are of squares plus ε, so that equal vectors are not quite at 1.
        lengths = (squares + EPSILON if self.released else squares).sqrt()
        return vectors / (lengths * math.sqrt(self.rho))

    def normalized(self, vectors: Tensor) -> Tensor:
        """Parts p̂ of length r, (P, E, k, k)."""
        parts = self.unit_vectors(vectors[:, : self.depth])
        if not self.released:
            return parts
        # Their prototypes, unlike their latents, are divided by the length plus another ε, and cosines by 1.01.
        plain = F.pad(vectors[:, : self.depth], (0, 0, 0, 0, 0, self.channels - self.depth), value=EPSILON)
        lengths = (plain.square().sum(dim=1, keepdim=True) + EPSILON).sqrt()
        return parts * (lengths / (lengths + EPSILON)) / LONGEST

    def latents(self, images: Tensor) -> Tensor:
        """ẑ and, behind its channels, the offsets: (B, E + 2ρ, H, W); windows are fewer than cells if ρ > 4."""
        z = self.addon(self.encoder.map(self.encoder.features(self.normalize(images))))
        with full_precision(z):
            # Squares and roots lose signs: a map that has any, unlike the papers' encoders, is rectified.
            z = F.relu(z.float())
            if self.config.upsample > 1:
                z = F.interpolate(z, scale_factor=self.config.upsample, mode="bilinear", align_corners=False)
            z = self.unit_vectors(z)
            offsets = self.offsets(SCALE * z)
            rest = [a - b for a, b in zip(z.shape[2:], offsets.shape[2:], strict=True)]
            return torch.cat([z, F.pad(offsets, (0, rest[1], 0, rest[0]))], dim=1)

    def embed(self, latents: Tensor) -> Tensor:
        """The mean of ẑ over the map."""
        return latents[:, : self.channels].flatten(2).mean(dim=2)

    def window_grid(self, latents: Tensor) -> tuple[int, int]:
        """Rows and columns of windows."""
        return window_grid((latents.shape[2], latents.shape[3]), self.config.parts)

    def _apart(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """ẑ (B, E, H, W) and the offsets (B, 2ρ, h, w)."""
        height, width = self.window_grid(latents)
        return latents[:, : self.channels], latents[:, self.channels :, :height, :width]

    def _windows(self, latents: Tensor) -> Tensor:
        """What the parts of all windows see, (B, h·w, ρ·E)."""
        z, offsets = self._apart(latents)
        cells, weights = corners(offsets, (z.shape[2], z.shape[3]), self.config.parts)
        batch, count = cells.shape[:2]
        images = torch.arange(batch, device=z.device).repeat_interleave(count)
        return sample(z, images, cells.flatten(0, 1), weights.flatten(0, 1)).reshape(
            batch, count, self.rho * self.channels
        )

    def _rows(self, parts: Tensor) -> Tensor:
        """Parts (..., E, k, k) in the order of the windows, (..., ρ·E)."""
        return parts.flatten(-2).transpose(-1, -2).flatten(-2)

    def _strongest(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        return strongest(self._windows(latents), self._rows(self.normalized(self.prototypes.vectors)))

    def _rectified(self, similarities: Tensor) -> Tensor:
        return similarities.relu() if self.released else similarities

    def head(self, latents: Tensor) -> Output:
        """Similarities g (B, P) and scores W g (B, C)."""
        with full_precision(latents):
            latents = latents.float()
            similarities = self._rectified(self._strongest(latents)[0])
            return self.rescore(Output(similarities, similarities, latents))

    def similarity_maps(self, latents: Tensor) -> Tensor:
        """g_ab of each window (a, b), (B, P, h, w)."""
        with full_precision(latents):
            products = (
                self._windows(latents.float())
                @ self._rows(self.normalized(self.prototypes.vectors)).T.contiguous()
            )
            maps = products.transpose(1, 2).reshape(
                len(latents), len(self.prototypes), *self.window_grid(latents)
            )
            return self._rectified(maps)

    # training

    def before_step(self, moment: TrainingStep) -> None:
        """Parts are made orthogonal from the joint stage on."""
        self.warm = moment.stage.startswith("warm")

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Cross entropy with margin, cluster and separation by cosines, orthogonality, and L1.

        An image whose class has no prototype left takes no part in cluster and separation.
        """
        assert output.similarities is not None
        own = self.prototypes.owners.T[labels]  # (B, P)
        config = self.config
        with full_precision(output.similarities):
            nearer = with_margin(output.similarities, config.margin)
            similarities = torch.where(own, output.similarities, nearer)
            return {
                "cross_entropy": F.cross_entropy(self.last(similarities), labels),
                "cluster": config.cluster * mean_minimum(-similarities, own),
                "separation": -config.separation * mean_minimum(-similarities, ~own),
                "orthogonality": config.orthogonality * self._orthogonality(),
                "l1": config.l1 * self.foreign_weights(),
            }

    def _orthogonality(self) -> Tensor:
        vectors = self.prototypes.vectors
        if self.warm:
            return vectors.new_zeros(())
        parts = vectors[:, : self.depth].flatten(2).transpose(1, 2)  # (P, ρ, D)
        if self.released:
            lengths = (parts.square().sum(dim=2, keepdim=True) + EPSILON).sqrt() + EPSILON
            return released_orthogonality(parts / lengths, self.config.prototypes_per_class)
        length = 1 / math.sqrt(self.rho)
        unit = self.normalized(vectors).flatten(2).transpose(1, 2)
        return orthogonality(class_bases(unit, self.prototypes.owners), length)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Encoder, add-on, prototypes, last layer, and δ."""
        return {**super().parameter_groups(), "offsets": list(self.offsets.parameters())}

    def recipe(self) -> Recipe:
        """Prototypes, then the encoder with them, then the offsets with both, interrupted by projections."""
        config = self.config
        warm, joint = self.stage_groups()
        stages = [
            Stage("warm", config.warm_epochs, warm),
            Stage("warm encoder", config.encoder_epochs, joint, fresh=True),
        ]
        done = config.warm_epochs + config.encoder_epochs
        moving = {**joint, "offsets": Group(1e-4)}
        decay = Schedule("step", size=5, gamma=0.2)
        # The authors' published run keeps the last layer as it is.
        stages += self.pushed_stages(done, moving, decay, tunes=not self.released)
        return Recipe(tuple(stages), batch_size=80)

    # projection: the largest g of a window of the own class, in the terms of `training.ends.nearest`

    def match(self, latents: Tensor) -> Match:
        """Largest similarities, negative as distances are, and their windows."""
        with full_precision(latents):
            values, cells = self._strongest(latents.float())
            return Match(-values, cells)

    def patch_vectors(self, latents: Tensor, rows: Tensor, cells: Tensor) -> Tensor:
        """What the parts see of the images ``rows`` (n,) in the windows ``cells`` (n,): (n, E, k, k)."""
        chosen, row = torch.unique(rows, return_inverse=True)
        z, offsets = self._apart(latents[chosen].float())
        corner, weights = corners(offsets, (z.shape[2], z.shape[3]), self.config.parts)
        seen = sample(z, row, corner[row, cells], weights[row, cells])  # (n, ρ, E)
        side = self.config.parts
        return seen.transpose(1, 2).reshape(len(rows), self.channels, side, side)

    def patch_distances(self, patches: Tensor, vectors: Tensor) -> Tensor:
        """−g in float64, of what parts see (..., E, k, k) and prototypes."""
        wide = torch.float32 if patches.device.type == "mps" else torch.float64
        shape = vectors.shape
        parts = self.normalized(vectors.to(wide).reshape(-1, *shape[-3:])).reshape(shape)
        similarities: Tensor = (patches.to(wide) * parts).flatten(-3).contiguous().sum(dim=-1)
        return -similarities

    def distance_error_scale(self, longest: Tensor) -> Tensor:
        """Both sides of the product have length 1."""
        return longest.new_ones(len(self.prototypes))

    def similarity_of(self, distances: Tensor) -> Tensor:
        """The similarity."""
        return self._rectified(-distances)

    # explanation

    def part_boxes(self, latents: Tensor, rows: Tensor, cells: Tensor) -> Tensor:
        """Where the parts of the windows ``cells`` (n,) of the images ``rows`` (n,) look.

        Returns:
            (n, ρ, 4): x0, y0, x1, y1 in pixels, not rounded; a part beyond the image has a box beyond it.
        """
        _, offsets = self._apart(latents.float())
        found = places(offsets[rows], self.config.parts)[torch.arange(len(rows), device=rows.device), cells]
        height, width = self.spec.image.size
        pixels = found.new_tensor([height / latents.shape[2], width / latents.shape[3]])
        first = found * pixels
        return torch.cat([first.flip(-1), (first + pixels).flip(-1)], dim=-1)
