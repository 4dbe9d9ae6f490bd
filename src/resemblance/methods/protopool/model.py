"""ProtoPool: prototypes from a pool, which classes share (Rymarczyk et al., ECCV 2022).

A latent map z = f(x) is compared with a pool of M prototypes by the focal similarity, the similarity of the most
similar place minus the mean similarity:

    g_p(z) = log((|z − p|² + 1) / (|z − p|² + ε))
    g_p    = max over z of g_p(z)  −  mean over z of g_p(z)        (eq. 1; its second "max" is a misprint)

Each class has K slots. A slot is a distribution q_k over the pool, drawn by Gumbel-Softmax from learned logits A. Its
similarity is that of the prototypes weighted by q_k; a last layer h sums the slots:

    g_k     = Σ_i q_k^i g_{p_i}
    score_c = Σ_{c', k} h_{c, c'k} g_{c'k}  =  Σ_i (Σ_{c', k} h_{c, c'k} q^i_{c'k}) g_{p_i}

During training the logits are scaled up, until each slot selects one prototype. Slots of a class are made different by

    L_orth  = Σ_{i < j} <q_i, q_j> / (|q_i| |q_j|)                 (eq. 2)

Symbols: B images, C classes, K slots per class, P = M prototypes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from resemblance.config.model import ModelSpec
from resemblance.core.output import Evidence, Output
from resemblance.core.recipe import LEAST_FROZEN_STEPS, Group, Recipe, Schedule, Stage
from resemblance.core.training_step import TrainingStep
from resemblance.core.traits import Traits
from resemblance.encoders.build import Encoder, build_map_encoder
from resemblance.methods.base import PrototypeMethod
from resemblance.methods.protopool.config import ProtoPoolConfig
from resemblance.methods.protopool.mixup import mix_pairs, mixed_cross_entropy
from resemblance.methods.protopool.prototypes import FocalPrototypes
from resemblance.methods.protopool.slots import Slots, gumbel_scale, is_hard, largest, orthogonality
from resemblance.methods.weighted_parts.foreign import foreign_l1
from resemblance.methods.weighted_parts.minima import mean_minimum, released_minimum
from resemblance.prototypes.precision import full_precision, is_recorded, widened

LAST = "last layer"


class ProtoPool(PrototypeMethod):
    """A pool of part prototypes, slots that choose from it, and a linear last layer without bias.

    In evaluation a slot holds the prototype of its largest logit. In ``variant="released"`` distances are mixed
    before similarities are computed, and evaluation has Gumbel noise, always the same draw, until `assign_owners`
    makes the assignment hard after training. Before that no class owns a prototype.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: computes the latent map; its own classifier is not needed.
        saved: a saved state, whose size of the pool is used; by default as configured.

    Attributes:
        slots: the slots, with the logits A.
        own_slots: (C, C·K) bool, which slots belong to a class.
        scale: the factor of the logits in training; `before_step` sets it.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("protopool", {"encoder": "small"}, spec).eval()
        >>> output = model(torch.rand(3, 1, 28, 28))
        >>> evidence = model.evidence(output, output.scores.argmax(1))
        >>> torch.allclose(evidence.contributions.sum(1), output.scores.amax(1), atol=1e-4)
        True
    """

    traits = Traits(
        maps=True,
        projects=True,
        head_groups=frozenset({"last"}),
        encoder_groups=frozenset({"encoder"}),
    )

    own_slots: Tensor

    def __init__(
        self,
        config: ProtoPoolConfig,
        spec: ModelSpec,
        encoder: Encoder,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec)
        self.config: ProtoPoolConfig = config
        self.released = config.variant == "released"
        self.traits = replace(self.traits, boxes_before_push=self.released)
        classes, slots, depth = spec.num_classes, config.slots, config.prototype_depth
        count = config.pool(classes) if saved is None else len(saved["prototypes.owners"])
        self.encoder = encoder
        convolution = nn.Conv2d(encoder.channels, depth, kernel_size=1)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        convolution.bias.data.zero_()  # type: ignore[union-attr]
        self.addon = nn.Sequential(convolution, nn.Sigmoid())
        self.prototypes: FocalPrototypes = FocalPrototypes(
            torch.rand(count, depth, 1, 1),
            torch.zeros(count, classes, dtype=torch.bool),
            focal=config.focal,
            mean="distance" if self.released else "similarity",
        )
        self.slots = Slots(classes, slots, count, noisy=self.released and config.gumbel, gumbel=config.gumbel)
        self.last = nn.Linear(classes * slots, classes, bias=False)
        own_slots = torch.eye(classes, dtype=torch.bool).repeat_interleave(slots, dim=1)
        self.register_buffer("own_slots", own_slots, persistent=False)
        with torch.no_grad():  # 1 for a class's own slots, 0 for the others: only evidence for classes
            self.last.weight.copy_(self.own_slots)
        self.scale = gumbel_scale(1)
        self._tuning = False
        self._hard = False

    @classmethod
    def make_encoder(
        cls,
        config: ProtoPoolConfig,
        spec: ModelSpec,
        module: nn.Module | None,
        tensors: Mapping[str, Tensor] | None,
        load_weights: bool,
    ) -> Encoder:
        """Make an encoder of which only the map is used; refuse one whose map is too small for parts."""
        return build_map_encoder(config, spec.image, module, load_weights)

    # slots

    def slots_of(self, output: Output) -> Tensor:
        """Return the q (C, K, P) of an output: the draw of its training step, or the assignment of evaluation."""
        return output.extras["assignment"] if "assignment" in output.extras else self.slots.hard_assignment()

    def mixes(self, slots: Tensor) -> bool:
        """Check whether slots mix distances, so that prototypes have no contributions of their own."""
        # A record does not depend on values; a mixture of one distance is that distance.
        return self.released and not (self._hard if is_recorded() else is_hard(slots))

    def fix_choices(self) -> None:
        """Keep whether slots are assigned: reasons of the record are then those of the model."""
        self._hard = is_hard(self.slots.hard_assignment())

    @torch.no_grad()
    def assign_owners(self) -> None:
        """End the choice, and let each prototype belong to the classes that hold it in a slot with a weight."""
        self.slots.harden()
        assigned = self.slots.assigned()  # (C, K)
        filled = self.last.weight.any(dim=0).reshape_as(assigned)
        counts = torch.zeros(self.prototypes.owners.T.shape, device=assigned.device)
        self.prototypes.owners.copy_(counts.scatter_add(1, assigned, filled.float()).T > 0)

    # image → latents → similarities → slots → scores

    def encode(self, images: Tensor) -> Tensor:
        """Return the encoder's map (B, D', H, W)."""
        return self.encoder.map(self.encoder.features(self.normalize(images)))

    def refine(self, encoded: Tensor) -> Tensor:
        """Return z = f(x), (B, D, H, W)."""
        latents: Tensor = self.addon(encoded)
        return latents

    @property
    def trains_on_encoded(self) -> bool:
        """Whether images are not mixed in training."""
        return self.encodes and not self.config.mixup

    def forward(self, images: Tensor) -> Output:
        """Classify images (B, C, H, W) in [0, 1]; in training, mixtures of two, λx + (1 − λ)x′."""
        if not (self.training and self.config.mixup) or self._tuning:
            return super().forward(images)
        mixed, mixing = mix_pairs(images)
        output = super().forward(mixed)
        output.extras.update(mixing)
        return output

    def head(self, latents: Tensor) -> Output:
        """Compute focal similarities g_p (B, P) and scores (B, C)."""
        with full_precision(latents):
            latents = widened(latents)
            comparison = self.prototypes(latents)
            similarities, extras = comparison.similarities, comparison.extras
            if self.training and not self._tuning:
                extras["assignment"] = self.slots.draw(self.scale)
            return self.rescore(Output(similarities, similarities, latents, extras))

    def rescore(self, output: Output) -> Output:
        """Compute scores (B, C) from similarities that are already known."""
        with full_precision(output.similarities):
            return replace(output, scores=self.slot_similarities(output) @ widened(self.last.weight).T)

    def slot_similarities(self, output: Output) -> Tensor:
        """Compute the similarities (B, C·K) of all slots: those of mixtures of distances in the authors' code."""
        if "assignment" not in output.extras and not self.slots.noisy:
            return output.similarities[:, self.slots.assigned().flatten()]
        slots = self.slots_of(output)
        mix = slots.flatten(0, 1).T  # (P, C·K)
        if not self.mixes(slots):
            return output.similarities @ mix
        extras = output.extras
        return self.prototypes.focal_similarity(extras["distances"] @ mix, extras["means"] @ mix)

    def weights(self, slots: Tensor) -> Tensor:
        """Compute the weight of each prototype for each class (C, P), Σ_{c', k} h_{c, c'k} q^i_{c'k}."""
        return widened(self.last.weight) @ slots.flatten(0, 1)

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Return weight × focal similarity per prototype, or per slot if distances are mixed; the bias is 0."""
        with full_precision(output.similarities):
            slots, weights = self.slots_of(output), widened(self.last.weight)[classes]
            bias = output.scores.new_zeros(classes.shape[0])
            if self.mixes(slots):
                similarities, largest_share = self.slot_similarities(output), slots.argmax(dim=2).flatten()
                return Evidence(weights * similarities, bias, largest_share, weights, similarities)
            weights = weights @ slots.flatten(0, 1)
            prototypes = torch.arange(len(self.prototypes), device=classes.device)
            return Evidence(weights * output.similarities, bias, prototypes, weights)

    # training

    def before_step(self, step: TrainingStep) -> None:
        """Set the scale of the epoch; a recipe with more or fewer epochs has the same range of scales.

        The authors count epochs from 0 and train nothing in epoch 0, whose scale would be 0: here the first epoch has
        e = 1, and ``warm_epochs`` is one less than theirs.
        """
        config = self.config
        planned = {"warm": (0, config.warm_epochs), "joint": (config.warm_epochs, config.joint_epochs)}
        before, epochs = planned.get(step.stage, (step.before, step.epochs))
        self.scale = gumbel_scale(1 + before + step.epoch * epochs / step.epochs)
        self._tuning = step.stage == LAST

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute cross entropy + λ₁ cluster − λ₂ separation + L_orth + λ₃ L1 of weights to slots of other classes.

        The paper has only cross entropy and L_orth (eq. 2); the rest is from the authors' code. Cluster is over the K
        prototypes with the largest sums in the slots of the label, separation over all others; labels are not mixed
        there.
        """
        config, distances = self.config, output.extras["distances"]
        slots, logits = self.slots_of(output), self.slots.logits
        own = largest(slots.detach()[labels].sum(dim=1), config.slots)  # (B, P)
        cluster, separation = (
            released_minimum(distances, mask, config.prototype_depth).mean()
            if self.released
            else mean_minimum(distances, mask)
            for mask in (own, ~own)
        )
        return {
            "cross_entropy": mixed_cross_entropy(output.scores, labels, output.extras, self.class_weights),
            "cluster": config.cluster * cluster,
            "separation": -config.separation * separation,
            # The authors' code uses the logits, whose cosines can be negative.
            "orthogonality": config.orthogonality * orthogonality(logits if self.released else slots),
            "l1": config.l1 * foreign_l1(self.last.weight, self.own_slots),
        }

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of encoder, add-on, logits of the slots, prototypes and last layer."""
        return {
            "encoder": list(self.encoder.parameters()),
            "addon": list(self.addon.parameters()),
            "slots": [self.slots.logits],
            "prototypes": [self.prototypes.vectors],
            "last": list(self.last.parameters()),
        }

    def recipe(self) -> Recipe:
        """Return the schedule: warm, joint, projection, last layer; encoders without weights train from the start."""
        config, rate = self.config, self.config.rate
        scratch = config.from_scratch
        warm = {"addon": Group(3 * rate, 1e-3), "slots": Group(3 * rate), "prototypes": Group(3 * rate)}
        joint = {"encoder": Group(rate if scratch else rate / 10, 1e-3), **warm}
        first, least = (joint, 0) if scratch else (warm, LEAST_FROZEN_STEPS)
        end = ("assign", "project", "usage")
        falling, falling_slowly = Schedule("step", size=5, gamma=0.1), Schedule("step", size=5, gamma=0.95)
        stages = (
            Stage("warm", config.warm_epochs, first, least_steps=least),
            Stage("joint", config.joint_epochs, joint, schedule=falling, fresh=True, end=end),
            Stage(
                LAST,
                config.last_epochs,
                {"last": Group(rate / 10, 1e-3)},
                schedule=falling_slowly,
                scales=False,
            ),
        )
        return Recipe(stages, batch_size=80)

    @torch.no_grad()
    def keep(self, indices: Tensor) -> None:
        """Drop prototypes; slots that had one of them are left without weight."""
        assigned = self.slots.assigned().flatten()  # (C·K,)
        super().keep(indices)
        self.slots.keep(indices)
        self.last.weight[:, ~torch.isin(assigned, indices.to(assigned.device))] = 0
