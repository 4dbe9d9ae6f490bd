"""The contract of all models, part two: `PrototypeModel`, the base of models that give reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from resemblance.config.method import MethodConfig
from resemblance.config.model import ModelSpec
from resemblance.core.classifier import Classifier
from resemblance.core.output import Evidence, Output
from resemblance.prototypes.layer import PrototypeLayer

if TYPE_CHECKING:
    from resemblance.core.reference import Reference
    from resemblance.prototypes.gallery import Gallery


class PrototypeModel(Classifier):
    """A classifier with prototypes: image → latents → similarities → evidence → scores.

    Its outputs have similarities, and `evidence` splits its scores: **contributions plus bias equal the score**.

    Args:
        config: the method's configuration.
        spec: classes and images.

    Attributes:
        prototypes: the prototype layer, which projection, maps, usage and explanations use.
        gallery: the pictures of the prototypes; None until they are built.
        reference: its similarities and probabilities on validation images; None until they are measured.
    """

    prototypes: PrototypeLayer

    def __init__(self, config: MethodConfig, spec: ModelSpec) -> None:
        super().__init__(config, spec)
        self.gallery: Gallery | None = None
        self.reference: Reference | None = None

    # Methods define this.

    def evidence(self, output: Output, classes: Tensor) -> Evidence:
        """Split the scores of ``classes`` (B,) into contributions and a bias, which add up to them."""
        raise NotImplementedError

    # Methods may define these; some belong to a trait.

    def rescore(self, output: Output) -> Output:
        """Compute the output again from similarities and extras, after parameters of ``head_groups`` have changed."""
        raise NotImplementedError(f"{self.name} cannot compute scores from similarities alone")

    def decode(self, vectors: Tensor) -> Tensor:
        """Decode prototype vectors to images (P, C, H, W) in [0, 1]; only with the trait ``decodes``."""
        raise NotImplementedError(f"{self.name} does not decode its prototypes")

    def assign_owners(self) -> None:
        """Set the owners of the prototypes where training decides them; called before usage is counted."""

    def used_prototypes(self, output: Output) -> Tensor | None:
        """Return which prototypes each image uses, (B, P) bool; None: the one that it is most similar to."""
        return None

    def match_values(self, output: Output) -> Tensor | None:
        """Return the values (B, P) of `PrototypeLayer.match` if the output has them; None: they have to be computed."""
        return None

    def prototype_similarities(self) -> Tensor | None:
        """Return the similarities of the prototypes to each other, (P, P) float64, row by row; None where undefined."""
        return self.prototypes.between()

    def abstains(self, output: Output) -> Tensor | None:
        """Return for which images (B,) the model abstains from a prediction; None for a model that never does."""
        return None

    def black_box_probabilities(self, output: Output) -> Tensor | None:
        """Return the probabilities (B, C) by the classifier that the model was converted from; None without one."""
        return None

    def keep(self, indices: Tensor) -> None:
        """Drop all prototypes but those at ``indices``; methods with a head drop its columns too."""
        self.prototypes.keep(indices)
        self.reference = None  # it was measured with the others
        if self.gallery is not None:
            self.gallery = self.gallery.keep(indices.tolist())


def prototypes_of(model: Classifier) -> PrototypeLayer | None:
    """Return a model's prototypes; None for a model without them, for instance the black box."""
    return model.prototypes if isinstance(model, PrototypeModel) else None
