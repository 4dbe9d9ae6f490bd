"""Predict the classes of images of every kind, as scikit-learn's classifiers do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.sources.image_list import list_images
from resemblance.encoders.probe import evaluating
from resemblance.explain.explain import check_finite


def predict(model: Classifier, images: Any, batch_size: int = 16) -> list[str | None]:
    """Return the name of the predicted class of each image; None where the model abstains.

    Args:
        model: any model.
        images: as `data.sources.image_list.list_images` accepts them.
        batch_size: images per forward pass.

    Raises:
        UserError: if an image cannot be read, there is none, or the model's scores are not finite.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("protopnet", {"encoder": "small"}, spec)
        >>> predicted = model.predict(torch.rand(3, 1, 28, 28))
        >>> len(predicted), set(predicted) <= set(model.classes)
        (3, True)
        >>> model.predict_proba(np.zeros((28, 28), np.uint8)).shape
        (1, 2)
    """
    names: list[str | None] = []
    for output in _outputs(model, images, batch_size):
        abstained = model.abstains(output) if isinstance(model, PrototypeModel) else None
        for row, index in enumerate(output.scores.argmax(dim=1).tolist()):
            names.append(
                None if abstained is not None and bool(abstained[row]) else model.spec.classes[index]
            )
    return names


def predict_proba(model: Classifier, images: Any, batch_size: int = 16) -> NDArray[np.float32]:
    """Return the probabilities (B, C) of the classes for each image, in the order of the model's classes.

    They are those of `Classifier.probabilities`: the softmax of logits, the shares of votes, or the model's own.

    Args:
        model: any model.
        images: as for `predict`.
        batch_size: images per forward pass.

    Raises:
        UserError: as `predict`.
    """
    parts = [
        model.probabilities(output.scores).float().cpu().numpy()
        for output in _outputs(model, images, batch_size)
    ]
    return np.concatenate(parts)


def _outputs(model: Classifier, images: Any, batch_size: int) -> Iterator[Output]:
    listed = list_images(images)
    if not len(listed):
        raise UserError("there is no image to classify")
    with evaluating(model), torch.no_grad():
        for batch in listed.read(model.spec.image, batch_size, False, None, shown=False):
            output = model(torch.stack([one.tensor for _, one in batch]).to(model.device))
            check_finite(output, [one for _, one in batch])
            yield output
