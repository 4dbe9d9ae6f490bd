"""Tiny models of all methods that are finished on noise: their prototypes have sources, boxes and pictures."""

from __future__ import annotations

from dataclasses import dataclass

from cases import VARIANTS
from models import make, noise_for
from resemblance.audit.audited import AuditSettings, AuditSubject
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.sources.source import ArraySource
from resemblance.training.ends import actions
from resemblance.training.ends.actions import ActionContext
from resemblance.training.ends.gallery import build_gallery


@dataclass
class Finished:
    """A finished model, and the images that it was finished on."""

    model: PrototypeModel
    train: ArraySource

    def subject(self, **options) -> AuditSubject:
        settings = AuditSettings(batch_size=options.pop("batch_size", 5))
        return AuditSubject(
            "run",
            self.model,
            options.pop("images", self.train),
            settings=settings,
            **{"train": self.train, **options},
        )


def finished(name: str, images: int = 24) -> Finished:
    """Make a variant of a method, and give its prototypes sources and pictures as at the end of training."""
    method, settings = VARIANTS[name]
    model = make(method, size=32 if "2x2" in name else 28, **settings).eval()
    source = noise_for(model, images)
    context = ActionContext(source)
    if hasattr(model.prototypes, "least_presence"):
        model.prototypes.least_presence = 0.0  # before training, no presence is large enough for a source
    model.assign_owners()
    end = "cluster" if "cluster" in model.end_actions else "project" if model.traits.projects else None
    for action in (end, "usage"):
        if action is not None:
            actions.run(action, model, context)
    model.gallery = build_gallery(model, source)
    return Finished(model, source)
