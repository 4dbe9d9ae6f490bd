"""Projection: each prototype becomes its nearest training patch (the papers' "push")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.maps import peak_boxes, percentile_boxes, upsample
from resemblance.training.ends.actions import ActionContext, action
from resemblance.training.ends.nearest import NearestPatches
from resemblance.training.ends.passes import evaluating, latents_of, training_images


@dataclass(frozen=True)
class ProjectionReport:
    """The result of a projection.

    Args:
        prototypes: P.
        images: how many training images it compared.
        moved: (P,) Euclidean distance in latent space that each prototype, as the head reads it, moved.
        unplaced: prototypes that kept their vectors because there was no image of their classes.
        unplaced_classes: the names of these classes.
        collapsed: class name → how many of its prototypes repeat the patch of another prototype of the class.
    """

    prototypes: int
    images: int
    moved: Tensor
    unplaced: tuple[int, ...] = ()
    unplaced_classes: tuple[str, ...] = ()
    collapsed: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the report as sentences."""
        lines = [
            f"projected {self.prototypes - len(self.unplaced)} prototypes, comparing {self.images} images; "
            f"they moved by {self.mean_moved:.3g} on average, {self.largest_moved:.3g} at most"
        ]
        if self.unplaced:
            names = _shortened(list(self.unplaced_classes)) or "no class"
            lines.append(f"{len(self.unplaced)} prototypes keep their vectors: no training image of {names}")
        if self.collapsed:
            worst = sorted(self.collapsed.items(), key=lambda pair: -pair[1])
            named = _shortened([f"{name} ({count})" for name, count in worst])
            total = sum(self.collapsed.values())
            repeat = "prototype repeats" if total == 1 else "prototypes repeat"
            lines.append(f"{total} {repeat} the patch of another of their class: {named}")
        return lines

    @property
    def mean_moved(self) -> float:
        """The mean distance that the projected prototypes moved."""
        return self.moved.sum().item() / max(self.prototypes - len(self.unplaced), 1)

    @property
    def largest_moved(self) -> float:
        """The largest distance that a prototype moved."""
        return self.moved.max().item() if len(self.moved) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        return {
            "prototypes": self.prototypes,
            "images": self.images,
            "mean_moved": self.mean_moved,
            "largest_moved": self.largest_moved,
            "unplaced": list(self.unplaced),
            "unplaced_classes": list(self.unplaced_classes),
            "collapsed": dict(self.collapsed),
        }


def project(
    model: Classifier, loader: Iterable[Batch | EncodedBatch], *, progress: bool = False
) -> ProjectionReport:
    """Replace each prototype by the nearest latent patch of the images of its own classes.

    It takes one pass. The result is exact and depends neither on the order of the images nor on the batch size, up to
    the last bit in which an encoder's outputs depend on the batch size. With equal batches a second projection moves
    nothing. Source: Chen et al. 2019, section 2.3.

    Args:
        model: with the trait ``projects``.
        loader: the un-augmented training images.
        progress: whether to show a bar.

    Returns:
        The report; provenance (image, box, distance) is stored in ``model.prototypes``.

    Raises:
        UserError: if there are no images, the model does not project, or distances are not finite.
    """
    prototypes = projected(model)
    owned = prototypes.owners.T
    with evaluating(model):
        nearest = NearestPatches(prototypes, model.traits.boxes_before_push)
        images = 0
        for latents, labels, indices in latents_of(model, loader, "projecting", progress):
            nearest.update(latents, owned[labels], indices)
            images += len(labels)
        if images == 0:
            raise UserError("there are no training images to project onto")
        if bool((nearest.seen & ~nearest.known).any()):
            raise UserError("latents are not finite: training has diverged; lower the learning rates")
        before, after = (prototypes.normalized(vectors) for vectors in (prototypes.vectors, nearest.vectors))
        moved = (after.double() - before.double()).flatten(1).norm(dim=1)
        prototypes.vectors.copy_(nearest.vectors)
        nearest.record(torch.zeros_like(nearest.distances), source_boxes(nearest, model.spec.image.size))
        regions = source_boxes(nearest, model.spec.image.size, peak_boxes)
        prototypes.source_region.copy_(regions.masked_fill(~nearest.known[:, None], 0))
    return _report(model, prototypes, nearest, moved.cpu(), images)


@action("project")
def _project(model: Classifier, context: ActionContext) -> None:
    context.notes += project(model, training_images(model, context), progress=context.progress).lines()


def projected(model: Classifier) -> PrototypeLayer:
    """Return the prototypes of a model that projects.

    Raises:
        UserError: if the model does not project.
    """
    if not isinstance(model, PrototypeModel) or not model.traits.projects:
        raise UserError(f"{model.name} does not project its prototypes")
    return model.prototypes


def source_boxes(
    nearest: NearestPatches,
    size: tuple[int, int],
    cut: Callable[[Tensor], Tensor] = percentile_boxes,
    chunk: int = 128,
) -> Tensor:
    """Return the box (P, 4) of each patch in its source image; the whole image where patches are whole images.

    By default it is the paper's box, which is kept as provenance. It is cut from the similarity map of the projected
    prototype on that image; with the trait ``boxes_before_push``, from the map of the prototype before projection.
    """
    height, width = size
    if nearest.maps is None:
        return nearest.cells.new_tensor([0, 0, width, height]).expand(len(nearest.cells), 4)
    boxes = nearest.cells.new_zeros(len(nearest.cells), 4)
    for part in torch.split(nearest.known.nonzero().flatten(), chunk):
        boxes[part] = cut(upsample(nearest.maps[part], (height, width)))
    return boxes


def _report(
    model: Classifier, prototypes: PrototypeLayer, nearest: NearestPatches, moved: Tensor, images: int
) -> ProjectionReport:
    names = prototypes.owner_names(model.spec.classes)
    unplaced = (~nearest.known).nonzero().flatten().tolist()
    placed = nearest.known.nonzero().flatten().tolist()
    patches = list(zip(nearest.indices.tolist(), nearest.cells.tolist(), strict=True))
    counts = Counter((name, patches[j]) for j in placed for name in names[j])
    collapsed: dict[str, int] = {}
    for (name, _), count in counts.items():
        if count > 1:
            collapsed[name] = collapsed.get(name, 0) + count - 1
    classes = tuple(dict.fromkeys(name for j in unplaced for name in names[j]))
    return ProjectionReport(len(prototypes), images, moved, tuple(unplaced), classes, collapsed)


def _shortened(names: list[str], most: int = 5) -> str:
    left = len(names) - most
    more = f" and {left} other class{'es' if left > 1 else ''}" if left > 0 else ""
    return ", ".join(names[:most]) + more
