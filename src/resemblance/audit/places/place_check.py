"""The base of checks that attack the places of prototypes."""

from __future__ import annotations

import torch
from torch import Tensor

from resemblance.audit.attack_check import AttackCheck
from resemblance.audit.audited import no_correct_image
from resemblance.audit.places.place_attacks import Strength
from resemblance.audit.places.strongest_prototypes import strongest
from resemblance.core.output import Output
from resemblance.data.batch import Batch
from resemblance.metrics.suite.model_subject import no_gradient, no_places, no_prototypes
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.similarity import log_similarity
from resemblance.prototypes.vectors import VectorPrototypes


class PlaceCheck(AttackCheck):
    """Attacks the places of prototypes in correctly classified images."""

    needs = (no_prototypes, no_places, no_gradient, no_correct_image)

    @property
    def strength(self) -> Strength:
        """The strength of the attacks."""
        settings = self.subject.settings
        return Strength(settings.eps, settings.step, settings.steps, settings.seed)

    def clean(self, part: int, count: int) -> tuple[Batch, Output, Tensor, Tensor]:
        """Return a batch, its output, the predicted classes (B,), and the ``count`` strongest prototypes (B, K)."""
        batch = self.attacked(part)
        with torch.no_grad():
            output = self.model(batch.images)
            classes = output.scores.argmax(dim=1)
            ranked = strongest(self.model, output, classes, count, self.subject.settings.variant)
        return batch, output, classes, ranked


def on_log_scale(layer: PrototypeLayer) -> bool:
    """Return whether the similarities of places are ProtoPNet's log((d² + 1) / (d² + ε)), at most 9.21.

    Example:
        >>> on_log_scale(VectorPrototypes(torch.zeros(2, 3, 1, 1), torch.eye(2)))
        True
    """
    return (
        isinstance(layer, VectorPrototypes)
        and type(layer).maps is VectorPrototypes.maps
        and layer.activation is log_similarity
    )
