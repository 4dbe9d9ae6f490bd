"""Deformable ProtoPNet: prototypes of several parts that move (Donnelly et al., CVPR 2022).

A prototype p^(c,l) has ρ parts p̂_mn, a square of vectors of length r = 1/√ρ; the vectors of the latent map are
scaled to the same length, ẑ. A part is not compared with one fixed cell of the window around (a, b): a small
convolutional network δ predicts an offset from the map, by which the part moves. Between cells a part reads the root
of the interpolated squares, which preserves lengths (`methods.deformable.deform`). All parts together are compared by

    g(ẑ)_ab = Σ_mn p̂_mn · ẑ at (a + m + Δ₁, b + n + Δ₂),     Δ = δ(ẑ)                    (section 3.1)
    g(ẑ)    = max over (a, b) of g(ẑ)_ab                     the cosine of an angle θ
    score_c = Σ_j w_cj g_j

    In training, prototypes of other classes count as nearer by an angle φ, and the cross entropy uses the scores of

    g⁻(ẑ) = cos(max(θ − φ, 0)) for prototypes of other classes, g(ẑ) for those of the image's class   (section 3.3)

    The offsets belong to the image and are the same for all prototypes. The latents contain them as additional channels
    after those of ẑ, so that everything that reads the latents uses the same offsets.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.output import Output
from resemblance.core.recipe import LEAST_FROZEN_STEPS, Group, Recipe, Schedule, Stage
from resemblance.core.training_step import TrainingStep
from resemblance.encoders.build import Encoder
from resemblance.methods.deformable.angles import released_orthogonality, with_margin
from resemblance.methods.deformable.config import DeformableConfig
from resemblance.methods.deformable.deform import window_grid
from resemblance.methods.deformable.prototypes import EPSILON, DeformablePrototypes
from resemblance.methods.weighted_parts.bases import class_bases, inner_products, orthogonality
from resemblance.methods.weighted_parts.minima import mean_minimum
from resemblance.methods.weighted_parts.model import WeightedParts
from resemblance.prototypes.precision import full_precision, widened

SCALE = 64.0  # factor of the input of δ


class Deformable(WeightedParts):
    """Deformable prototypes, cosines with a margin, and a linear last layer without bias.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: computes the latent map; its own classifier is not needed.
        saved: a saved state, whose owners are used; by default each class owns ``prototypes_per_class``.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("deformable", {"encoder": "small"}, spec).eval()
        >>> output = model(torch.rand(3, 1, 28, 28))
        >>> evidence = model.evidence(output, output.scores.argmax(1))
        >>> torch.allclose(evidence.contributions.sum(1), output.scores.amax(1), atol=1e-4)
        True
        >>> model.prototypes.at(output.latents, torch.tensor([0]), torch.tensor([5])).boxes.shape
        torch.Size([1, 9, 4])
    """

    prototypes: DeformablePrototypes

    def __init__(
        self,
        config: DeformableConfig,
        spec: ModelSpec,
        encoder: Encoder,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec, encoder, saved, config.part_size)
        self.config: DeformableConfig = config
        self.released = config.variant == "released"
        self.warm = False
        channels, rho = self.prototypes.channels, config.parts**2
        first = nn.Conv2d(channels, config.offset_channels, config.parts + 2, padding=1)
        second = nn.Conv2d(config.offset_channels, 2 * rho, config.parts, padding=1)
        for layer in (first, second):
            nn.init.normal_(layer.weight, std=2e-5)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        self.offsets = nn.Sequential(first, nn.ReLU(), second)
        self._check(spec.image)

    def make_prototypes(self, vectors: Tensor, owners: Tensor) -> DeformablePrototypes:
        """Make prototypes whose parts move."""
        return DeformablePrototypes(vectors, owners, released=self.config.variant == "released")

    def _check(self, image: ImageSpec) -> None:
        times, size = self.config.upsample, self.encoder.map_size(image)
        if min(window_grid((times * size[0], times * size[1]), self.config.parts)) < 1:
            raise UserError(
                f"prototypes of {self.config.parts}x{self.config.parts} parts do not fit on the map of "
                f"{size[0]}x{size[1]} cells: use fewer --parts, more --upsample or a larger --image-size"
            )

    # forward

    def refine(self, encoded: Tensor) -> Tensor:
        """Return ẑ with the offsets as more channels, (B, E + 2ρ, H, W); offsets are 0 where a cell has no window."""
        z = self.addon(encoded)
        with full_precision(z):
            # Squares and roots lose signs. The paper's encoders have none; other maps are rectified.
            z = F.relu(widened(z))
            if self.config.upsample > 1:
                z = F.interpolate(z, scale_factor=self.config.upsample, mode="bilinear", align_corners=False)
            z = self.prototypes.unit_vectors(z)
            offsets = self.offsets(SCALE * z)
            rest = [a - b for a, b in zip(z.shape[2:], offsets.shape[2:], strict=True)]
            return torch.cat([z, F.pad(offsets, (0, rest[1], 0, rest[0]))], dim=1)

    def embed(self, latents: Tensor) -> Tensor:
        """Return the mean of ẑ over the map."""
        return latents[:, : self.prototypes.channels].flatten(2).mean(dim=2)

    # training

    def before_step(self, step: TrainingStep) -> None:
        """Note whether this is a warm stage: parts are made orthogonal from the first joint stage on."""
        self.warm = step.stage.startswith("warm")

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute cross entropy with margin, cluster and separation from cosines, orthogonality, and L1.

        An image whose class has no prototype left is left out of cluster and separation.
        """
        assert output.similarities is not None
        own = self.prototypes.owners.T[labels]  # (B, P)
        config = self.config
        with full_precision(output.similarities):
            nearer = with_margin(output.similarities, config.margin)
            similarities = torch.where(own, output.similarities, nearer)
            return {
                "cross_entropy": self.cross_entropy(self.last(similarities), labels),
                "cluster": config.cluster * mean_minimum(-similarities, own),
                "separation": -config.separation * mean_minimum(-similarities, ~own),
                "orthogonality": config.orthogonality * self._orthogonality(),
                "l1": config.l1 * self.other_class_l1(),
            }

    def _orthogonality(self) -> Tensor:
        vectors = self.prototypes.vectors
        if self.warm:
            return vectors.new_zeros(())
        parts = vectors[:, : self.prototypes.depth].flatten(2).transpose(1, 2)  # (P, ρ, D)
        if self.released:
            lengths = (parts.square().sum(dim=2, keepdim=True) + EPSILON).sqrt() + EPSILON
            return released_orthogonality(parts / lengths, self.config.prototypes_per_class)
        length = 1 / self.config.parts
        bases, present = class_bases(parts, self.prototypes.owners)
        # Inner products are scaled instead of the parts, of which there are many more numbers.
        products = inner_products(bases) + EPSILON**2  # of the uniform channel
        lengths = products.diagonal(dim1=1, dim2=2).sqrt() / length
        return orthogonality(products / (lengths[:, :, None] * lengths[:, None]), present, length)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of encoder, add-on, prototypes, last layer, and δ."""
        return {**super().parameter_groups(), "offsets": list(self.offsets.parameters())}

    def recipe(self) -> Recipe:
        """Return the schedule: prototypes, then the encoder too, then the offsets too, interrupted by projections."""
        config = self.config
        warm, joint = self.stage_groups()
        least = 0 if "encoder" in warm else LEAST_FROZEN_STEPS
        stages = [
            Stage("warm", config.warm_epochs, warm, least_steps=least),
            Stage("warm encoder", config.encoder_epochs, joint, fresh=True),
        ]
        done = config.warm_epochs + config.encoder_epochs
        moving = {**joint, "offsets": Group(1e-4)}
        decay = Schedule("step", size=5, gamma=0.2)
        # The authors' published run does not train the last layer.
        stages += self.pushed_stages(done, moving, decay, tunes=not self.released)
        return Recipe(tuple(stages), batch_size=80)
