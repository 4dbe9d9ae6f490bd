"""The part of ProtoPNet that the methods which build on it share.

An encoder and an add-on f give a latent map z = f(x); a similarity g_j compares it with each prototype p_j; a
linear last layer without bias weights the similarities, and these products are the evidence:

    score_c = Σ_j w_cj g_j(z)

Training starts with a warm stage. Joint training follows, interrupted by projections; after each projection only the
last layer is trained (Chen et al. 2019, sections 2.2 to 2.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from resemblance.config.model import ModelSpec
from resemblance.core.output import Evidence, Output
from resemblance.core.recipe import LEAST_FROZEN_STEPS, Group, Recipe, Schedule, Stage
from resemblance.core.traits import Traits
from resemblance.encoders.addon import AddOn
from resemblance.encoders.build import Encoder, build_map_encoder
from resemblance.methods.base import PrototypeMethod
from resemblance.methods.weighted_parts.config import WeightedPartsConfig
from resemblance.methods.weighted_parts.foreign import foreign_l1
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.precision import full_precision, widened
from resemblance.prototypes.vectors import VectorPrototypes


class WeightedParts(PrototypeMethod):
    """Prototypes of a latent map, and a linear last layer without bias.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: computes the latent map; its own classifier is not needed.
        saved: a saved state, whose owners are used; by default each class owns ``prototypes_per_class``.
        cells: rows and columns of the latent map that a prototype spans; () for prototypes of whole images,
            which are compared with the mean of the map.
    """

    traits = Traits(
        projects=True, prunes=True, head_groups=frozenset({"last"}), encoder_groups=frozenset({"encoder"})
    )

    prototypes: VectorPrototypes

    def __init__(
        self,
        config: WeightedPartsConfig,
        spec: ModelSpec,
        encoder: Encoder,
        saved: Mapping[str, Tensor] | None = None,
        cells: tuple[int, ...] = (1, 1),
    ) -> None:
        super().__init__(config, spec)
        self.config: WeightedPartsConfig = config
        before = config.variant == "released"
        self.traits = replace(self.traits, maps=cells != (), boxes_before_push=before)
        self.encoder = encoder
        self.addon = AddOn(config.addon, encoder.channels, config.prototype_depth)
        if saved is None:
            owners = PrototypeLayer.class_major(config.prototypes_per_class, spec.num_classes)
        else:
            owners = saved["prototypes.owners"]
        vectors = torch.rand(len(owners), self.addon.channels, *cells)
        self.prototypes = self.make_prototypes(vectors, owners)
        self.last = nn.Linear(len(owners), spec.num_classes, bias=False)
        with torch.no_grad():  # +1 to the own class, −0.5 to the others
            self.last.weight.fill_(-0.5).masked_fill_(self.prototypes.owners.T, 1.0)

    def make_prototypes(self, vectors: Tensor, owners: Tensor) -> VectorPrototypes:
        """Make the prototypes from their initial vectors (P, D, h, w) or (P, D), and their owners (P, C)."""
        raise NotImplementedError

    @classmethod
    def make_encoder(
        cls,
        config: WeightedPartsConfig,
        spec: ModelSpec,
        module: nn.Module | None,
        tensors: Mapping[str, Tensor] | None,
        load_weights: bool,
    ) -> Encoder:
        """Make an encoder of which only the map is used; refuse one whose map is too small for parts."""
        return build_map_encoder(config, spec.image, module, load_weights, parts=config.part_size != ())

    def encode(self, images: Tensor) -> Tensor:
        """Return the encoder's map (B, D', H, W)."""
        return self.encoder.map(self.encoder.features(self.normalize(images)))

    def refine(self, encoded: Tensor) -> Tensor:
        """Return z = f(x): the add-on's map (B, D, H, W), or its mean (B, D) for whole images."""
        latents: Tensor = self.addon(encoded)
        return latents if self.traits.maps else latents.flatten(2).mean(dim=2)

    def head(self, latents: Tensor) -> Output:
        """Compute the pooled similarities g (B, P) and the scores W g (B, C)."""
        with full_precision(latents):
            latents = widened(latents)
            comparison = self.prototypes(latents)
            similarities = comparison.similarities
            return self.rescore(Output(similarities, similarities, latents, comparison.extras))

    def rescore(self, output: Output) -> Output:
        """Compute the scores W g from similarities g that are already known."""
        with full_precision(output.similarities):
            return replace(output, scores=self.last(output.similarities))

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Return the contributions w_cj g_j; the bias is 0."""
        weights = widened(self.last.weight)[classes]
        contributions = weights * output.similarities
        prototypes = torch.arange(len(self.prototypes), device=classes.device)
        return Evidence(contributions, contributions.new_zeros(classes.shape[0]), prototypes, weights)

    def other_class_l1(self) -> Tensor:
        """Compute the L1 norm of the last layer's weights to classes that do not own the prototype."""
        return foreign_l1(self.last.weight, self.prototypes.owners.T)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of encoder, add-on, prototypes and last layer."""
        groups: dict[str, list[nn.Parameter]] = {
            "encoder": list(self.encoder.parameters()),
            "addon": list(self.addon.parameters()),
            "prototypes": [self.prototypes.vectors],
            "last": list(self.last.parameters()),
        }
        return {name: parameters for name, parameters in groups.items() if parameters}

    def stage_groups(self) -> tuple[dict[str, Group], dict[str, Group]]:
        """Return the parameter groups of the warm and of the joint stages, with their learning rates.

        A pretrained encoder is frozen in the warm stage and then trained at 1e-4, as in the paper. An encoder without
        pretrained weights has nothing to preserve: it is trained from the start, at 1e-3. The user's own network counts
        as pretrained.
        """
        scratch = self.config.from_scratch
        present = self.parameter_groups().keys()
        warm = {"addon": Group(3e-3, 1e-3), "prototypes": Group(3e-3)}
        joint = {"encoder": Group(1e-3 if scratch else 1e-4, 1e-3), **warm}
        if scratch:
            warm = joint
        warm = {name: group for name, group in warm.items() if name in present}
        joint = {name: group for name, group in joint.items() if name in present}
        return warm, joint

    def recipe(self) -> Recipe:
        """Return the schedule: warm, then joint training, interrupted by projections and last-layer training."""
        warm, joint = self.stage_groups()
        # The authors' scheduler steps before each joint epoch: only four of the first five run at the full rate.
        decay = Schedule("step", size=5, gamma=0.1, first=1)
        epochs = self.config.warm_epochs
        least = 0 if "encoder" in warm else LEAST_FROZEN_STEPS
        stages = (Stage("warm", epochs, warm, least_steps=least), *self.pushed_stages(epochs, joint, decay))
        return Recipe(stages, batch_size=80)

    def pushed_stages(
        self, done: int, joint: dict[str, Group], decay: Schedule, tunes: bool = True
    ) -> list[Stage]:
        """Return the stages of joint training, interrupted by projections, and of pruning.

        Args:
            done: number of epochs of the earlier stages.
            joint: the parameter groups that are trained.
            decay: the schedule of their learning rates.
            tunes: whether the last layer is trained after each projection.
        """
        config = self.config
        last = {"last": Group(1e-4)}
        total = done + config.joint_epochs
        stages: list[Stage] = []
        number = 0
        while done < total or number == 0:
            number += 1
            push = min(total, (done // config.push_every + 1) * config.push_every)
            stages.append(
                Stage(
                    f"joint {number}",
                    push - done,
                    joint,
                    schedule=decay,
                    fresh=number == 1,
                    end=("project",),
                    candidate=not tunes and not config.prune,
                )
            )
            if tunes:
                name = f"last layer {number}"
                stages.append(Stage(name, config.last_epochs, last, candidate=not config.prune, scales=False))
            done = push
        if config.prune:
            stages.append(Stage("prune", 0, {}, end=("prune",), scales=False))
            stages.append(Stage("last layer after pruning", 5 * config.last_epochs, last, scales=False))
        return stages

    def keep(self, indices: Tensor) -> None:
        """Drop prototypes and their columns of the last layer."""
        super().keep(indices)
        with torch.no_grad():
            self.last.weight = nn.Parameter(self.last.weight[:, indices].clone())
            self.last.in_features = len(indices)
