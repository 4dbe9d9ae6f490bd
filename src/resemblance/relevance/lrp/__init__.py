"""Layer-wise relevance propagation (LRP), and its form for prototypes (PRP)."""

from __future__ import annotations

from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel


def prp_maps(model: PrototypeModel, images: Tensor, which: Tensor, *, definition: str = "default") -> Tensor:
    """Return the relevance of the pixels for the prototypes ``which``, (B, K, H, W)."""
    raise UserError("PRP maps are not available yet; choose another kind of map")


def lrp_maps(model: Classifier, images: Tensor, classes: Tensor, *, definition: str = "default") -> Tensor:
    """Return the relevance of the pixels for the scores of ``classes``, (B, H, W)."""
    raise UserError("LRP maps are not available yet; choose another kind of map")
