"""An encoder made of any model of this library, for methods that use a trained one."""

from __future__ import annotations

from torch import Tensor

from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.encoders.base import Encoder


class ModelEncoder(Encoder):
    """A whole model as an encoder: its latents are the features, its scores those of the trained head.

    It reads images in [0, 1], as the model does: the model normalises them itself, so the method that uses it must not
    (mean 0, deviation 1).

    Args:
        model: any model; it becomes part of the encoder, without its gallery.

    Example:
        >>> import torch
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.5,), (0.25,)))
        >>> model = build("protopnet", {"encoder": "small"}, spec).eval()
        >>> encoder, images = ModelEncoder(model), torch.rand(2, 1, 28, 28)
        >>> encoder.channels, encoder.grid, torch.equal(encoder(images), model(images).scores)
        (128, (7, 7), True)
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__(f"of {model.name}", f"the encoder of a trained {model.name}")
        if isinstance(model, PrototypeModel):
            model.gallery = None
        self.model = model
        self.trained_head = True
        self._measure(model.spec.image)

    def _features(self, images: Tensor) -> Tensor:
        return self.model.latents(images)

    def _map(self, features: Tensor) -> Tensor:
        return features if features.dim() == 4 else features[:, :, None, None]

    def _embed(self, features: Tensor) -> Tensor:
        return self.model.embed(features)

    def answer(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Compute the model's own scores, (B, K)."""
        return self.model.head(features).scores

    def forward(self, images: Tensor) -> Tensor:
        """Compute the model's own scores (B, K) of images in [0, 1]."""
        scores: Tensor = self.model(images).scores
        return scores

    @property
    def num_classes(self) -> int:
        """K, the number of the model's classes."""
        return self.model.spec.num_classes
