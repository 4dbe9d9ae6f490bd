"""Explain images in every form, batch by batch: files, folders, PIL images, arrays or tensors."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.data.labels.image_labels import labels_beside, labels_of_images, read_label_table
from resemblance.data.progress import track
from resemblance.data.sources.image_list import ImageList
from resemblance.data.stopping import stop_if_requested
from resemblance.data.text import composed, listed
from resemblance.explain.explain import explain_batch
from resemblance.explain.explanation import Explanation
from resemblance.explain.request import class_index, explainable
from resemblance.runs.messages import Messages

Labels = list[int | str | None] | tuple[int | str | None, ...] | int | str | Path | None


def explain_images(
    model: Classifier,
    images: ImageList,
    labels: Labels,
    skip_bad_images: bool,
    messages: Messages,
    *,
    batch_size: int = 16,
    progress: bool = False,
    **options: Any,
) -> Generator[Explanation, None, None]:
    """Explain images batch by batch, and yield each explanation as soon as it is made.

    Args:
        model: a model with prototypes.
        images: the images, as `list_images` returns them.
        labels: the true class of each image, or one for all of them; None: the class folders in which images lie.
        skip_bad_images: whether to leave out files that were named and cannot be read, instead of stopping; those of a
            folder are always left out.
        messages: receives what was left out.
        batch_size: images per forward pass.
        progress: whether to show a progress bar, with an estimate.
        **options: the choice of reasons and maps, as for `explain.explain.explain`.

    Raises:
        UserError: if an image cannot be read, a class or prototype does not exist, or the model has no prototypes.
    """
    model = explainable(model)
    true_classes = true_labels(model, images, labels)
    left_out: list[str] = []
    count = 0
    batches = images.read(model.spec.image, batch_size, skip_bad_images, left_out)
    total = -(-len(images) // batch_size)
    for batch in track(batches, f"explaining {len(images)} images", progress, total=total):
        stop_if_requested()
        inputs = [one for _, one in batch]
        chosen = [true_classes[number] for number, _ in batch]
        made = explain_batch(model, inputs, labels=chosen, batch_size=batch_size, **options)
        count += len(made)
        yield from made
    if left_out:
        what = "1 image that cannot" if len(left_out) == 1 else f"{len(left_out)} images that cannot"
        messages.warn(f"{what} be read left out: {listed(left_out, 5)}")
    if not count:
        raise UserError("none of the images can be read" if len(images) else "there is no image to explain")


def true_labels(model: Classifier, images: ImageList, labels: Labels) -> list[int | None]:
    """Return the index of the true class of each image; None where it is not known.

    Args:
        model: the model.
        images: the images.
        labels: the classes of all images, or of each, or the path of a table of files and classes. By default, the
            class folders, else the only table beside the images of a folder whose classes are the model's.

    Raises:
        UserError: if there are more or fewer labels than images, or the model does not have a class.
    """
    if labels is None:
        values: list[Any] = images.labels(model.classes)
        if not any(values):
            values = _beside(model, images)
    elif isinstance(labels, Path):
        values = list(labels_of_images(read_label_table(labels), images.paths))
        unlabelled = sum(value is None for value in values)
        if unlabelled:
            images.notes.append(f"{labels}: {unlabelled} of {len(images)} images have no class there")
    elif isinstance(labels, list | tuple):
        values = list(labels)
    else:
        values = [labels] * len(images)
    if len(values) != len(images):
        raise UserError(f"{len(values)} labels for {len(images)} images")
    return [None if value is None else class_index(model, value) for value in values]


def _beside(model: Classifier, images: ImageList) -> list[str | None]:
    """Return the classes in the only table beside the images of a folder, if they are classes of the model."""
    found = labels_beside(images.roots, images.paths)
    if found is None:
        return [None] * len(images)
    shown, values = found
    if not {value for value in values if value is not None} <= set(map(composed, model.classes)):
        images.notes.append(f"{shown} has other classes than the model, and is not read")
        return [None] * len(images)
    images.notes.append(f"the true classes are those of {shown}, which lies beside the images")
    names = {composed(name): name for name in model.classes}
    return [None if value is None else names[value] for value in values]
