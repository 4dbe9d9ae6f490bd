"""The one contract, part two: models that give reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.classifier import Classifier
from resemblance.core.output import Evidence, Output
from resemblance.prototypes.layer import PrototypeLayer

if TYPE_CHECKING:
    from resemblance.prototypes.gallery import Gallery


class PrototypeModel(Classifier):
    """A classifier with prototypes: image → latents → similarities → evidence → scores.

    Its outputs have similarities, and `evidence` takes its scores apart: **contributions plus bias equal the score**.

    Args:
        config: the method's configuration.
        spec: classes and images.

    Attributes:
        prototypes: the one module that projection, maps, usage and explanations talk to.
        gallery: pictures of the prototypes, once there are any.
    """

    prototypes: PrototypeLayer

    def __init__(self, config: MethodConfig, spec: ModelSpec) -> None:
        super().__init__(config, spec)
        self.gallery: Gallery | None = None

    # What a method defines.

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Take the scores of ``classes`` (B,) apart; contributions and bias add up to them."""
        raise NotImplementedError

    # What it may define; some of it goes with a trait.

    def rescore(self, output: Output) -> Output:
        """Answer anew from an output's similarities and extras, after the trait ``head_groups`` have changed."""
        raise NotImplementedError(f"{self.name} does not answer from similarities")

    def decode(self, vectors: Tensor) -> Tensor:
        """Return images (P, C, H, W) in [0, 1] of prototype vectors; only with the trait ``decodes``."""
        raise NotImplementedError(f"{self.name} does not decode")

    def assign_owners(self) -> None:
        """Name the prototypes' classes where training decides them; called before usage is counted."""

    def used_prototypes(self, output: Output) -> Tensor | None:
        """Return the prototypes (B, P) that each image uses; None: the one that it is most similar to."""
        return None

    def abstains(self, output: Output) -> Tensor | None:
        """Return which images (B,) are left without an answer, where a method may abstain; None: it always answers."""
        return None

    def keep(self, indices: Tensor) -> None:
        """Drop all prototypes but those at ``indices``; methods with a head drop its columns too."""
        self.prototypes.keep(indices)
        if self.gallery is not None:
            self.gallery = self.gallery.keep(indices.tolist())


def prototypes_of(model: Classifier) -> PrototypeLayer | None:
    """Return a model's prototypes; None for one without, such as the black box."""
    return model.prototypes if isinstance(model, PrototypeModel) else None
