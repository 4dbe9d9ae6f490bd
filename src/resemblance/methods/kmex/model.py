"""KMEx: a trained classifier becomes a prototypical one without training (Gautam et al., TMLR 2024).

The encoder f is not changed. The embeddings z = f(x) of the training images of each class are clustered by k-means;
the centres are the prototypes p_k of the class, and an image is assigned to the class of the nearest (section 3):

    s(z, p) = log((|z − p|² + 1) / (|z − p|² + ε))
    score_c = max over the prototypes of c of s(z, p_k)

With ``patches=True`` (appendix A.4) the prototypes are centres of patch embeddings, from before the last pooling,
and each patch of an image votes for the class of its nearest prototype. A prototype contributes its votes and a
share in [0, 1) of S_k, the sum of the similarities of the patches that voted for it:

    contribution_k = votes_k + S_k / (Σ_j S_j + 1)
    score_c = Σ over the prototypes of c of contribution_k

so that the majority decides, ties are won by the class with the larger similarity, and the score has a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.model import ModelSpec
from resemblance.core.classifier import Classifier
from resemblance.core.model_encoder import ModelEncoder
from resemblance.core.output import Evidence, Output
from resemblance.core.recipe import Recipe, Stage
from resemblance.core.traits import ScoreKind, Traits
from resemblance.encoders.build import Encoder, build_encoder, check_map
from resemblance.methods import registry
from resemblance.methods.base import PrototypeMethod
from resemblance.methods.blackbox.stages import batch_size, blackbox_stages, encoder_and_head
from resemblance.methods.kmex.config import KMExConfig
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.precision import full_precision, widened
from resemblance.prototypes.similarity import (
    log_similarity,
)
from resemblance.prototypes.vectors import VectorPrototypes

BASE = "encoder.model."  # prefix of the tensors of a model that is used as encoder


def root_log_similarity(squared: Tensor) -> Tensor:
    """Compute s as the released code does, from the distance instead of its square."""
    return log_similarity(squared.clamp_min(1e-24).sqrt())  # the clamp keeps the gradient at 0 finite


def largest_by_class(similarities: Tensor, owner: Tensor, classes: int) -> Tensor:
    """Return the largest similarity to a prototype of each class, 0 for a class without any: (B, P) → (B, C).

    Args:
        similarities: (B, P), positive.
        owner: (P,), the class of each prototype.
        classes: C.
    """
    scores = similarities.new_zeros(similarities.shape[0], classes)
    return scores.scatter_reduce(1, owner.expand_as(similarities), similarities, "amax")


def vote_contributions(nearest: Tensor, similarity: Tensor, prototypes: int) -> Tensor:
    """Compute each prototype's votes plus its share of the similarity: (B, cells) → (B, P).

    Args:
        nearest: (B, cells), the nearest prototype of each patch.
        similarity: (B, cells), the similarity to it.
        prototypes: P.
    """
    empty = similarity.new_zeros(similarity.shape[0], prototypes)
    votes = empty.scatter_add(1, nearest, torch.ones_like(similarity))
    sums = empty.scatter_add(1, nearest, similarity)
    return votes + sums / (sums.sum(dim=1, keepdim=True) + 1)


class KMEx(PrototypeMethod):
    """A classifier by the nearest prototype; the prototypes are cluster centres of a trained encoder's embeddings.

    Args:
        config: the configuration.
        spec: classes and images.
        encoder: with its trained classifier, if it has one, whose logits are ``extras["blackbox"]``.
        saved: a saved state, whose owners are used; by default each class owns ``prototypes_per_class``.

    Attributes:
        outputs: (C,), the index of each class among the outputs of the encoder's own classifier.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("kmex", {"encoder": "small"}, spec).eval()
        >>> output = model(torch.rand(3, 1, 28, 28))
        >>> nearest = model.prototypes.owners[output.similarities.argmax(1)].int().argmax(1)
        >>> torch.equal(output.scores.argmax(1), nearest)
        True
    """

    traits = Traits(encoder_groups=frozenset({"encoder"}))
    end_actions = {  # noqa: RUF012
        "cluster": "resemblance.methods.kmex.clustering",
        "probe": "resemblance.methods.blackbox.linear_probe",
    }

    outputs: Tensor

    def __init__(
        self,
        config: KMExConfig,
        spec: ModelSpec,
        encoder: Encoder,
        saved: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, spec)
        self.config: KMExConfig = config
        score_kind: ScoreKind = "votes" if config.patches else "logit"
        self.traits = replace(self.traits, maps=config.patches, score_kind=score_kind)
        self.encoder = encoder
        if saved is None:
            owners = PrototypeLayer.class_major(config.prototypes_per_class, spec.num_classes)
        else:
            owners = saved["prototypes.owners"]
        shape = (encoder.channels, 1, 1) if config.patches else (encoder.embedding,)
        self.prototypes: VectorPrototypes
        self.set_prototypes(torch.rand(len(owners), *shape), owners)
        self.register_buffer("outputs", torch.arange(spec.num_classes))

    @classmethod
    def make_encoder(
        cls,
        config: KMExConfig,
        spec: ModelSpec,
        module: nn.Module | None,
        tensors: Mapping[str, Tensor] | None,
        load_weights: bool,
    ) -> Encoder:
        """Make the encoder with its classifier; it may be another model (``config.base``)."""
        encoder: Encoder
        if config.base is not None:
            encoder = ModelEncoder(_base_model(config.base, module, tensors, load_weights))
        else:
            has_head = tensors is None or any(name.startswith("encoder.classifier.") for name in tensors)
            classes = spec.num_classes if has_head else None
            encoder = build_encoder(config, spec.image, classes, load_weights=load_weights, module=module)
        if config.patches:
            check_map(encoder, spec.image)
        return encoder

    def set_prototypes(self, vectors: Tensor, owners: Tensor) -> None:
        """Replace the prototypes by others, (P, E) or (P, D, 1, 1), with empty sources and usage."""
        activation = root_log_similarity if self.config.variant == "released" else log_similarity
        self.prototypes = VectorPrototypes(vectors, owners, activation=activation).to(self.device)
        self.prototypes.vectors.requires_grad_(False)  # they are computed by k-means, not trained

    # image → embedding or map → similarities → scores

    def forward(self, images: Tensor) -> Output:
        """Classify images (B, C, H, W) in [0, 1]; the original classifier's logits are in ``extras["blackbox"]``."""
        features = self.encoder.features(self.normalize(images))
        embedding = self.encoder.embed(features)
        output = self.head(self.encoder.map(features) if self.config.patches else embedding)
        return self._with_answer(output, features, embedding)

    @property
    def trains_on_encoded(self) -> bool:
        """Whether the original classifier, which is what is trained, reads the embeddings alone."""
        return not self.config.patches and self.config.base is None

    def forward_encoded(self, encoded: Tensor) -> Output:
        """Classify embeddings (B, E); the original classifier's logits are in ``extras["blackbox"]``."""
        return self._with_answer(self.head(encoded), encoded, encoded)

    def _with_answer(self, output: Output, features: Any, embedding: Tensor) -> Output:
        with full_precision(embedding):
            logits = self.encoder.answer(_widened(features), widened(embedding))
        if logits is not None:
            output.extras["blackbox"] = widened(logits)[:, self.outputs]
        return output

    def black_box_probabilities(self, output: Output) -> Tensor | None:
        """Return the probabilities (B, C) by the original classifier; None if it was left out of the conversion."""
        logits = output.extras.get("blackbox")
        if logits is None:
            return None
        if isinstance(self.encoder, ModelEncoder):
            return self.encoder.model.probabilities(logits)
        return logits.softmax(dim=1)

    def encode(self, images: Tensor) -> Tensor:
        """Return z = f(x): embeddings (B, E), or the map (B, D, h, w) of patch embeddings."""
        features = self.encoder.features(self.normalize(images))
        return self.encoder.map(features) if self.config.patches else self.encoder.embed(features)

    def head(self, latents: Tensor) -> Output:
        """Compute similarities (B, P) and scores (B, C), by the nearest prototype of each class or by votes."""
        prototypes, classes = self.prototypes, self.spec.num_classes
        with full_precision(latents):
            latents = widened(latents)
            if not self.config.patches:
                comparison = prototypes(latents)
                similarities = comparison.similarities
                scores = largest_by_class(similarities, self._owner, classes)
                return Output(scores, similarities, latents, comparison.extras)
            distances = prototypes.geometry.distances(latents, prototypes.vectors).flatten(2)  # (B, P, cells)
            nearest = distances.argmin(dim=1)
            best = prototypes.activation(distances.gather(1, nearest[:, None])).squeeze(1)
            contributions = vote_contributions(nearest, best, len(prototypes))
            scores = contributions.new_zeros(latents.shape[0], classes).index_add(
                1, self._owner, contributions
            )
            smallest = distances.amin(dim=2)
            extras = {"contributions": contributions, "distances": smallest}
            return Output(scores, prototypes.activation(smallest), latents, extras)

    def match_values(self, output: Output) -> Tensor:
        """Return the distances (B, P)."""
        return output.extras["distances"]

    @property
    def _owner(self) -> Tensor:
        return self.prototypes.owners.int().argmax(dim=1)

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Return the similarity to the class's nearest prototype, or the votes and share of each; the bias is 0."""
        own = self.prototypes.owners.T[classes]  # (B, P)
        if self.config.patches:
            contributions = output.extras["contributions"] * own
        else:
            best = output.similarities.masked_fill(~own, -torch.inf).argmax(dim=1, keepdim=True)
            decides = torch.zeros_like(own).scatter(1, best, True) & own
            contributions = output.similarities * decides
        prototypes = torch.arange(len(self.prototypes), device=classes.device)
        return Evidence(contributions, contributions.new_zeros(classes.shape[0]), prototypes)

    # training: as for the black box, then the embeddings are clustered

    def loss(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Compute the cross entropy of the original classifier; the prototypes are not trained."""
        if "blackbox" not in output.extras:
            raise UserError("the encoder of this KMEx model has no classifier; there is nothing to train")
        return {"cross_entropy": self.cross_entropy(output.extras["blackbox"], labels)}

    def selection_scores(self, output: Output) -> Tensor:
        """Return the scores, or the original classifier's logits until the embeddings are clustered."""
        return (
            output.scores if self.prototypes.usage_counted else output.extras.get("blackbox", output.scores)
        )

    def recipe(self) -> Recipe:
        """Return the schedule of the black box, with k-means at its end."""
        stages = blackbox_stages(self.config, self.encoder)
        if any(stage.candidate for stage in stages):
            stages.append(Stage("cluster", 0, {}, end=("cluster",), chooses=True, scales=False))
        else:
            stages[-1] = replace(stages[-1], end=("cluster",))
        return Recipe(tuple(stages), batch_size(self.config))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of the encoder and of its classifier."""
        return encoder_and_head(self.encoder)


def _base_model(
    base: dict[str, Any], module: nn.Module | None, tensors: Mapping[str, Tensor] | None, load_weights: bool
) -> Classifier:
    base_tensors = {
        name.removeprefix(BASE): t for name, t in (tensors or {}).items() if name.startswith(BASE)
    }
    return registry.build_described(
        base, module=module, tensors=base_tensors or None, load_weights=load_weights
    )


def _widened(features: Any) -> Any:
    """Convert features to float32 at least, if they are a tensor."""
    return widened(features) if isinstance(features, Tensor) else features
