"""Explain images in every form: files, folders, PIL images, arrays or tensors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.explain.explain import explain
from resemblance.explain.explanation import Explanation
from resemblance.explain.request import explainable
from resemblance.runs.messages import Messages

Labels = list[int | str | None] | tuple[int | str | None, ...] | int | str | None


def explain_images(
    model: Classifier,
    images: Sequence[Any],
    labels: Labels,
    skip_bad_images: bool,
    messages: Messages,
    **options: Any,
) -> list[Explanation]:
    """Explain images one by one.

    Args:
        model: a model with prototypes.
        images: the images, as `list_images` returns them.
        labels: the true class of each image, or one for all of them; None if it is not known.
        skip_bad_images: whether to leave out image files that cannot be read instead of stopping.
        messages: receives a warning for each image that is left out.
        **options: the choice of reasons and maps, as for `explain.explain.explain`.

    Raises:
        UserError: if an image cannot be read, a class or prototype does not exist, or the model has no prototypes.
    """
    labels = list(labels) if isinstance(labels, list | tuple) else [labels] * len(images)
    if len(labels) != len(images):
        raise UserError(f"{len(labels)} labels for {len(images)} images")
    model = explainable(model)
    explanations = []
    for image, label in zip(images, labels, strict=True):
        try:
            explanations.append(explain(model, image, label=label, **options))
        except UserError as error:
            if not skip_bad_images or not (isinstance(image, Path) and image.is_file()):
                raise
            messages.warn(f"left out: {error}")
    if not explanations:
        raise UserError("none of the images can be read" if images else "there is no image to explain")
    return explanations


def list_images(images: Any) -> list[Any]:
    """Return a list of images; a folder is replaced by the files in it.

    Args:
        images: an image as `explain` accepts it (a path, a PIL image, an array, a tensor), a folder, a batch of images
            (B, C, H, W), or a sequence of images and folders.

    Raises:
        UserError: for a file that does not exist, or a folder without files.

    Example:
        >>> list_images("none.png")
        Traceback (most recent call last):
        resemblance.config.errors.UserError: no such image: none.png
    """
    if isinstance(images, Tensor) and images.dim() == 4:
        return list(images)
    if not isinstance(images, list | tuple):
        images = [images]
    return [image for item in images for image in _files(item)]


def _files(image: Any) -> list[Any]:
    if not isinstance(image, str | os.PathLike):
        return [image]
    path = Path(image).expanduser()
    if path.is_dir():
        files = sorted(child for child in path.iterdir() if child.is_file() and child.name[0] != ".")
        if not files:
            raise UserError(f"{image} is a folder without images")
        return list(files)
    if not path.exists():
        raise UserError(f"no such image: {image}")
    return [path]
