"""ProtoPNet: this looks like that (Chen et al., NeurIPS 2019).

A convolutional encoder and an add-on f give a latent map z = f(x). Each prototype p_j is compared with
every patch of z; the similarity of the nearest patch, weighted by the last layer, is evidence for a class:

    g_j(z) = max over patches z~ of log((|z~ - p_j|² + 1) / (|z~ - p_j|² + ε))        (section 2.1)
    score_c = Σ_j w_cj g_j(z)

With ``pool="avg"`` the map is averaged first and a prototype stands for a whole image, as the ProtoPNet that
Gautam et al. 2024 (table 10) compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resemblance.config.methods.protopnet import ProtoPNetConfig
from resemblance.config.model import ModelSpec
from resemblance.core.addon import AddOn
from resemblance.core.encoder import Encoder, build_encoder, check_map
from resemblance.core.model import Model
from resemblance.core.output import Evidence, Match, Output
from resemblance.core.precision import full_precision
from resemblance.core.prototypes import Prototypes
from resemblance.core.recipe import Group, Recipe, Schedule, Stage
from resemblance.core.similarity import (
    linear_similarity,
    log_similarity,
    nearest_patches,
    pairwise_squared,
    squared_distances,
)
from resemblance.methods.registry import register

SIMILARITIES = {"log": log_similarity, "linear": linear_similarity}


def masked_minimum(distances: Tensor, mask: Tensor) -> Tensor:
    """The smallest of the masked distances in each row, infinite where the mask is empty: (B, P) → (B,)."""
    return distances.masked_fill(~mask, torch.inf).amin(dim=1)


def released_minimum(distances: Tensor, mask: Tensor, largest: int) -> Tensor:
    """The authors' way to the same: D_max − max((D_max − d)·mask); wrong beyond D_max, with no gradient."""
    return largest - ((largest - distances) * mask).amax(dim=1)


@register("protopnet", ProtoPNetConfig)
class ProtoPNet(Model):
    """Part prototypes (or whole images), a similarity, and a linear last layer without bias.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: gives the latent map; its own classifier is not needed.
        owners: (P, C) class of each prototype; by default ``prototypes_per_class`` for each class.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("protopnet", {"encoder": "small"}, spec).eval()
        >>> output = model(torch.rand(3, 1, 28, 28))
        >>> evidence = model.evidence(output, output.scores.argmax(1))
        >>> torch.allclose(evidence.contributions.sum(1), output.scores.amax(1), atol=1e-4)
        True
    """

    projects = True
    prunes = True
    head_groups = frozenset({"last"})

    def __init__(
        self, config: ProtoPNetConfig, spec: ModelSpec, encoder: Encoder, owners: Tensor | None = None
    ) -> None:
        super().__init__(config, spec)
        self.config: ProtoPNetConfig = config
        self.maps = config.pool == "max"
        self.encoder = encoder
        self.addon = AddOn(config.addon, encoder.channels, config.prototype_depth)
        if owners is None:
            owners = Prototypes.class_major(config.prototypes_per_class, spec.num_classes)
        shape = (config.prototype_height, config.prototype_width) if self.maps else ()
        self.prototypes: Prototypes = Prototypes(torch.rand(len(owners), self.addon.channels, *shape), owners)
        self.last = nn.Linear(len(owners), spec.num_classes, bias=False)
        self.similarity = SIMILARITIES[config.similarity]
        with torch.no_grad():  # +1 to the own class, −0.5 to the others
            self.last.weight.copy_(self.prototypes.owners.T * 1.5 - 0.5)

    @classmethod
    def build(
        cls,
        config: ProtoPNetConfig,
        spec: ModelSpec,
        *,
        module: nn.Module | None = None,
        tensors: Mapping[str, Tensor] | None = None,
        load_weights: bool = True,
    ) -> ProtoPNet:
        """Make the model with its encoder; refuses encoders whose map is too small for parts."""
        encoder = build_encoder(config, spec.image, None, load_weights=load_weights, module=module)
        encoder.keep_map_only()
        if config.pool == "max":
            check_map(encoder, spec.image)
        return cls(config, spec, encoder, None if tensors is None else tensors["prototypes.owners"])

    # image → latents → similarities → scores

    def latents(self, images: Tensor) -> Tensor:
        """z = f(x): the add-on's map (B, D, H, W), or its mean (B, D) for whole images."""
        latents: Tensor = self.addon(self.encoder.map(self.encoder.features(self.normalize(images))))
        return latents if self.maps else latents.flatten(2).mean(dim=2)

    def head(self, latents: Tensor) -> Output:
        """Pooled similarities g (B, P) and scores W g (B, C)."""
        with full_precision(latents):
            latents = latents.float()
            distances = self._nearest(latents)[0]
            similarities = self.similarity(distances)
            return self.rescore(Output(similarities, similarities, latents, {"distances": distances}))

    def rescore(self, output: Output) -> Output:
        """Scores W g of known similarities."""
        assert output.similarities is not None
        with full_precision(output.similarities):
            return replace(output, scores=self.last(output.similarities))

    def _nearest(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        if self.maps:
            return nearest_patches(latents, self.prototypes.vectors)
        distances = pairwise_squared(latents, self.prototypes.vectors)
        return distances, torch.zeros_like(distances, dtype=torch.int64)

    def match(self, latents: Tensor) -> Match:
        """Smallest squared distances and their cells."""
        with full_precision(latents):
            return Match(*self._nearest(latents.float()))

    def similarity_maps(self, latents: Tensor) -> Tensor:
        """Similarity of each patch to each prototype, (B, P, H', W')."""
        with full_precision(latents):
            return self.similarity(squared_distances(latents.float(), self.prototypes.vectors))

    def similarity_of(self, distances: Tensor) -> Tensor:
        """Logarithmic or linear."""
        return self.similarity(distances)

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Contributions w_cj g_j; no bias."""
        assert output.similarities is not None
        weights = self.last.weight.float()[classes]
        contributions = weights * output.similarities
        prototypes = torch.arange(len(self.prototypes), device=classes.device)
        return Evidence(contributions, contributions.new_zeros(len(classes)), prototypes, weights)

    # training

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Cross entropy + λ₁ cluster − λ₂ separation + λ₃ L1 of the foreign weights (sections 2.2 and 2.3).

        Both minima are means over the batch of squared distances. An image whose class has no prototype left
        takes no part in them.
        """
        distances = output.extras["distances"]
        own = self.prototypes.owners.T[labels]  # (B, P)
        config = self.config
        foreign = (self.last.weight * ~self.prototypes.owners.T).abs().sum()
        return {
            "cross_entropy": F.cross_entropy(output.scores, labels),
            "cluster": config.cluster * self._mean_minimum(distances, own),
            "separation": -config.separation * self._mean_minimum(distances, ~own),
            "l1": config.l1 * foreign,
        }

    def _mean_minimum(self, distances: Tensor, mask: Tensor) -> Tensor:
        if self.config.variant == "released":
            largest = self.prototypes.vectors[0].numel()
            return released_minimum(distances, mask, largest).mean()
        minimum = masked_minimum(distances, mask)
        found = minimum.isfinite()
        return torch.where(found, minimum, 0).sum() / found.sum().clamp_min(1)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Encoder, add-on, prototypes and last layer."""
        groups: dict[str, list[nn.Parameter]] = {
            "encoder": list(self.encoder.parameters()),
            "addon": list(self.addon.parameters()),
            "prototypes": [self.prototypes.vectors],
            "last": list(self.last.parameters()),
        }
        return {name: parameters for name, parameters in groups.items() if parameters}

    def recipe(self) -> Recipe:
        """Warm, then joint training interrupted by projection and last-layer optimisation.

        A pretrained encoder is frozen while warm and then trains at 1e-4, as in the paper. An encoder without
        pretrained weights has nothing to keep: it trains from the start, at 1e-3. The user's own network counts as
        trained.
        """
        config = self.config
        scratch = config.weights == "none" and ":" not in config.encoder
        present = self.parameter_groups().keys()
        warm = {"addon": Group(3e-3, 1e-3), "prototypes": Group(3e-3)}
        joint = {"encoder": Group(1e-3 if scratch else 1e-4, 1e-3), **warm}
        if scratch:
            warm = joint
        warm = {name: group for name, group in warm.items() if name in present}
        joint = {name: group for name, group in joint.items() if name in present}
        # The authors' scheduler steps before each joint epoch: only four of the first five run at the full rate.
        decay = Schedule("step", size=5, gamma=0.1, first=1)
        last = {"last": Group(1e-4)}
        total = config.warm_epochs + config.joint_epochs
        stages = [Stage("warm", config.warm_epochs, warm)]
        done = config.warm_epochs
        while done < total or len(stages) == 1:
            push = min(total, (done // config.push_every + 1) * config.push_every)
            number = (len(stages) + 1) // 2
            stages.append(
                Stage(
                    f"joint {number}",
                    push - done,
                    joint,
                    schedule=decay,
                    fresh=number == 1,
                    end=("project",),
                )
            )
            stages.append(
                Stage(
                    f"last layer {number}", config.last_epochs, last, candidate=not config.prune, scales=False
                )
            )
            done = push
        if config.prune:
            stages.append(Stage("prune", 0, {}, end=("prune",), scales=False))
            stages.append(Stage("last layer after pruning", 5 * config.last_epochs, last, scales=False))
        return Recipe(tuple(stages), batch_size=80)

    def keep(self, indices: Tensor) -> None:
        """Drop prototypes and their columns of the last layer."""
        super().keep(indices)
        with torch.no_grad():
            self.last.weight = nn.Parameter(self.last.weight[:, indices].clone())
            self.last.in_features = len(indices)
