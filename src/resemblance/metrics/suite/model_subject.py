"""What a model is measured or audited with, and the obstacles that depend on the model alone."""

from __future__ import annotations

from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.sources.source import Source
from resemblance.prototypes.layer import PrototypeLayer


class ModelSubject:
    """The base of the subjects of evaluations and audits.

    Attributes:
        model: in evaluation mode.
        train: the training images, un-augmented; None if they are not available.
    """

    model: Classifier
    train: Source | None

    @property
    def explains(self) -> PrototypeModel | None:
        """The model, if it has prototypes."""
        return self.model if isinstance(self.model, PrototypeModel) else None

    @property
    def prototypes(self) -> PrototypeLayer:
        """The model's prototypes; only for models that have some."""
        assert isinstance(self.model, PrototypeModel)
        return self.model.prototypes

    @property
    def owned(self) -> bool:
        """Whether prototypes belong to classes."""
        return self.explains is not None and bool(self.prototypes.owners.any())


def no_prototypes(subject: ModelSubject) -> str | None:
    """Explain that the model has no prototypes, if so."""
    return None if subject.explains is not None else f"{subject.model.name} has no prototypes"


def no_owners(subject: ModelSubject) -> str | None:
    """Explain that no prototype belongs to a class, if so."""
    return None if subject.owned else f"the prototypes of {subject.model.name} belong to no class"


def no_places(subject: ModelSubject) -> str | None:
    """Explain that similarities belong to no place of the image, if so."""
    if subject.explains is not None and subject.prototypes.has_maps:
        return None
    return f"{subject.model.name} compares whole images, so that a prototype points to no place"


def no_gradient(subject: ModelSubject) -> str | None:
    """Explain that scores have no gradient with respect to the image, if so."""
    if subject.model.traits.differentiable:
        return None
    return f"the scores of this {subject.model.name} have no gradient"


def no_training_images(subject: ModelSubject) -> str | None:
    """Explain that the training images are not available, if so."""
    known = subject.train is not None and len(subject.train) > 0
    return None if known else "the training images are not available"
